"""The messages of one upload's stream (google.bytestream.WriteRequest), with a limit on the time between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from nlserver.errors import Code, Error, invalid
from nlserver.reapi.wire import WriteMessage

_HALF_CLOSE_SECONDS: Final = 0.5
_MOST_EXCESS_BYTES: Final = 16 << 20


class Broken(Error):
    """The stream ended before its upload did; a second one may go on."""


class WriteStream:
    """What a client sends in one call of ByteStream.Write."""

    def __init__(self, requests: AsyncIterator[WriteMessage], idle_seconds: float) -> None:
        self._requests = requests
        self._idle_seconds = idle_seconds
        self._resource_name = ""

    async def first(self) -> WriteMessage:
        """The message that names the resource. Raises Error INVALID_ARGUMENT when there is none."""
        message = await self._next()
        if message is None:
            raise invalid("the stream ended without any WriteRequest")
        self._resource_name = message.resource_name
        return message

    async def next(self) -> WriteMessage:
        """The next message.

        Raises Error INVALID_ARGUMENT when it names another resource, or when the client ended the stream without
        having said `finish_write`.
        """
        message = await self._next()
        if message is None:
            raise Broken(Code.INVALID_ARGUMENT, "Client closed stream before sending all data")
        if message.resource_name not in ("", self._resource_name):
            raise invalid("resource_name changed within one stream")
        return message

    async def check_end(self) -> None:
        """Make sure that nothing follows `finish_write`; a client that does not end its stream is not waited for."""
        try:
            async with asyncio.timeout(_HALF_CLOSE_SECONDS):
                more = await anext(self._requests, None)
        except TimeoutError:
            return
        if more is not None:
            raise invalid("a WriteRequest came after finish_write")

    async def _next(self) -> WriteMessage | None:
        try:
            async with asyncio.timeout(self._idle_seconds):
                return await anext(self._requests, None)
        except TimeoutError:
            raise Broken(
                Code.DEADLINE_EXCEEDED, f"the client sent nothing for {self._idle_seconds:g} seconds"
            ) from None


class CompressedData:
    """The bytes of a compressed upload, whose offsets count what has been sent (REAPI v2, compressed-blobs).

    It begins at 0 always: what a stream stands for is known only from its beginning, so it cannot be resumed.
    """

    def __init__(self, first: WriteMessage, stream: WriteStream, size: int) -> None:
        """`size` is that of the blob."""
        self.received = 0
        self.finished = False
        """Whether the client has said that this is all."""
        self._message = first
        self._stream = stream
        self._most = 2 * size + _MOST_EXCESS_BYTES

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The bytes up to `finish_write`.

        Raises Error INVALID_ARGUMENT for a gap, for an end without `finish_write`, and for far more bytes than the
        blob has: an endless stream of empty frames would be none other.
        """
        while True:
            if self._message.write_offset != self.received:
                raise invalid(
                    f"Received out of order data. Got {self._message.write_offset}, expected {self.received}",
                    remedy="A compressed upload begins at 0, and its offsets count compressed bytes.",
                )
            data = self._message.data
            self.received += len(data)
            if self.received > self._most:
                raise invalid(f"Sent too much data: {self.received} compressed bytes for a smaller blob")
            self.finished = self._message.finish_write
            if data:
                yield data
            if self.finished:
                return
            self._message = await self._stream.next()

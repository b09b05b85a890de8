"""One blob as a stream from or to a remote CAS, in as many calls as it takes (google.bytestream.ByteStream).

Laws: what is read whole is verified before the reader learns that it is at the end; a failure of the source of an
upload is never taken for one of the server; a chunk or two is held.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Final

from nlserver.compressed import compressed, decompressed
from nlserver.errors import Code, Error, invalid
from nlserver.fs import in_thread, settled
from nlserver.proto import bytestream_pb2
from nlserver.reapi import methods, wire
from nlserver.reapi.channel import Channel
from nlserver.reapi.digest import Digest, Function, hasher
from nlserver.reapi.names import Compressor, read_name, write_name
from nlserver.store import Missing
from nlserver.streams import CHUNK_BYTES, OFF_LOOP_BYTES, Chunks

PLAIN: Final = Compressor.IDENTITY
Reopen = Callable[[int], AsyncGenerator[bytes, None] | None]
"""Opens the bytes of an upload from an offset; None when they cannot be had from there any more."""


class _Source(Exception):
    """The source of an upload failed: carries its error past the handling of the server's errors."""

    def __init__(self, error: Error) -> None:
        super().__init__(str(error))
        self.error = error


class ByteStreams:
    """The streams of one instance. All methods may be called concurrently."""

    def __init__(
        self, channel: Channel, instance_name: str, states_function: bool | None, idle_seconds: float | None
    ) -> None:
        self._channel = channel
        self._instance = instance_name
        self._states_function = states_function
        self._idle_seconds = idle_seconds

    async def read(
        self, digest: Digest, offset: int = 0, limit: int | None = None, compressor: Compressor = PLAIN
    ) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset`, at most `limit`, in chunks; a broken stream is resumed.

        Compressed reads go to the end always. Raises Missing before the first chunk; a whole blob is verified: Error
        DATA_LOSS when it is damaged.
        """
        end = digest.size_bytes if limit is None else min(digest.size_bytes, offset + limit)
        check = _Check(digest.function) if (offset, end) == (0, digest.size_bytes) else None
        try:
            async with aclosing(self._resumed(digest, offset, end, compressor)) as chunks:
                async for chunk in chunks:
                    if check is not None:
                        await check.update(chunk)
                    yield chunk
            if check is not None and await check.hexdigest() != digest.hash:
                raise self.damaged(digest)
        finally:
            if check is not None:
                await check.settle()

    async def pour(self, digest: Digest, sink: Callable[[bytes], object], compressor: Compressor = PLAIN) -> None:
        """Give a whole blob to a blocking `sink` in chunks, in the thread that hashes them.

        The next chunk is on its way meanwhile. Raises Missing, what the sink raises, and at the end Error DATA_LOSS for
        a blob that is damaged: what the sink has is good only when this returns.
        """
        made = hasher(digest.function)

        def take(chunk: bytes) -> None:
            made.update(chunk)
            sink(chunk)

        job: asyncio.Task[None] | None = None
        try:
            async with aclosing(self._resumed(digest, 0, digest.size_bytes, compressor)) as chunks:
                async for chunk in chunks:
                    if job is not None:
                        await job
                    job = asyncio.create_task(in_thread(take, chunk))
            if job is not None:
                await job
        finally:
            if job is not None:
                await settled(job)
        if made.hexdigest() != digest.hash:
            raise self.damaged(digest)

    async def _resumed(
        self, digest: Digest, offset: int, end: int, compressor: Compressor
    ) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset` up to `end`, from as many streams as it takes."""
        patience = self._channel.patience()
        at = offset
        while at < end:
            try:
                async with aclosing(self._stream(digest, at, end, compressor)) as chunks:
                    async for chunk in chunks:
                        at += len(chunk)
                        if at > end:
                            raise _Source(self.damaged(digest))
                        patience.renew()
                        yield chunk
                if at < end:
                    raise Error(Code.DATA_LOSS, f"the server sent {at} of {end} bytes of {digest}")
            except _Source as damage:
                raise damage.error from None
            except Error as error:
                await patience.after(self.verdict(error, digest))

    def _stream(self, digest: Digest, at: int, end: int, compressor: Compressor) -> AsyncGenerator[bytes, None]:
        request = bytestream_pb2.ReadRequest(
            resource_name=read_name(self._instance, digest, compressor, states_function=self._states_function),
            read_offset=at,
            read_limit=0 if end == digest.size_bytes else end - at,
        )
        chunks = self._channel.receive(methods.READ, request, idle_seconds=self._idle_seconds)
        return chunks if compressor is PLAIN else _unpacked(chunks, compressor)

    def verdict(self, error: Error, digest: Digest) -> Error:
        """What an error of the server means for one who wants this blob."""
        if error.code is not Code.NOT_FOUND:
            return error
        return Missing(digest, message=error.message)

    def damaged(self, digest: Digest) -> Error:
        """The server gave something else."""
        return Error(Code.DATA_LOSS, f"the server sent other bytes than those of {digest}", where=self._channel.where)

    async def write(self, digest: Digest, reopen: Reopen, compressor: Compressor = PLAIN) -> None:
        """Upload a blob; broken, it goes on where the server says, if `reopen` can. Compressed it begins anew.

        Raises Error, INVALID_ARGUMENT when the source has another size than the digest; what the source raises comes
        out as it is.
        """
        name = write_name(self._instance, str(uuid.uuid4()), digest, compressor, states_function=self._states_function)
        patience = self._channel.patience()
        offset = 0
        broken = Error(Code.INTERNAL, f"the source of {digest} cannot be read")
        while (chunks := reopen(offset)) is not None:
            try:
                return await self._written(name, digest, offset, chunks, compressor)
            except _Source as failure:
                raise failure.error from None
            except Error as error:
                await patience.after(error)
                broken = error
            committed = await self._committed(name, digest)
            if committed is None:
                return None
            if compressor is PLAIN:
                if committed > offset:
                    patience.renew()
                offset = committed
        raise broken

    async def _written(
        self, name: str, digest: Digest, offset: int, chunks: AsyncGenerator[bytes, None], compressor: Compressor
    ) -> None:
        exact = _exact(chunks, digest, offset)
        packed = None if compressor is PLAIN else _Packed(name, compressed(exact, compressor))
        requests = packed.requests() if packed else _requests(name, digest, offset, exact)
        async with aclosing(chunks), aclosing(exact), aclosing(requests):
            answer = await self._channel.send(methods.WRITE, requests, idle_seconds=self._idle_seconds)
        # -1 says that the blob was there already. Of a compressed upload some servers count what was sent, as REAPI
        # v2.3 has it (WriteResponse), and some the blob.
        if answer.committed_size not in (digest.size_bytes, -1, packed.sent if packed else -1):
            message = f"the server kept {answer.committed_size} of {digest.size_bytes} bytes of {digest}"
            raise Error(Code.DATA_LOSS, message, where=self._channel.where)

    async def _committed(self, name: str, digest: Digest) -> int | None:
        """How many bytes of an upload the server has; None when the blob is complete."""
        request = bytestream_pb2.QueryWriteStatusRequest(resource_name=name)
        try:
            answer = await self._channel.unary(methods.QUERY_WRITE_STATUS, request, self._idle_seconds)
        except Error as error:
            # A server that cannot resume takes the upload from its beginning.
            if error.code in (Code.UNIMPLEMENTED, Code.NOT_FOUND):
                return 0
            raise
        if answer.complete:
            return None
        return answer.committed_size if 0 <= answer.committed_size <= digest.size_bytes else 0


async def _unpacked(chunks: AsyncGenerator[bytes, None], compressor: Compressor) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks), aclosing(decompressed(chunks, compressor, Code.DATA_LOSS)) as plain:
        async for piece in plain:
            yield piece


async def _exact(chunks: Chunks, digest: Digest, offset: int) -> AsyncGenerator[bytes, None]:
    """The chunks of a source from `offset` on. Raises _Source, also when they do not end where the blob does."""
    size, at = digest.size_bytes, offset
    try:
        async for chunk in chunks:
            at += len(chunk)
            if at > size:
                raise invalid(f"the source of {digest} has more bytes than that")
            yield chunk
        if at < size:
            raise invalid(f"the source of {digest} has only {at} bytes")
    except Error as error:
        raise _Source(error) from error


async def _requests(
    name: str, digest: Digest, offset: int, chunks: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    """WriteRequests of at most `CHUNK_BYTES`; the last one finishes."""
    resource, size, sent = name.encode(), digest.size_bytes, offset
    async for chunk in chunks:
        for piece in _pieces(chunk):
            yield wire.write_request(resource, sent, piece, finish=sent + len(piece) == size)
            sent += len(piece)
    if offset == size:
        yield wire.write_request(resource, offset, b"", finish=True)


class _Packed:
    """A compressed upload, whose offsets count what has been sent; nobody knows its end before it is there."""

    def __init__(self, name: str, chunks: AsyncGenerator[bytes, None]) -> None:
        self.sent = 0
        self._resource = name.encode()
        self._chunks = chunks

    async def requests(self) -> AsyncGenerator[bytes, None]:
        """WriteRequests of at most `CHUNK_BYTES`; the last one is empty and finishes."""
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                for piece in _pieces(chunk):
                    yield wire.write_request(self._resource, self.sent, piece, finish=False)
                    self.sent += len(piece)
        yield wire.write_request(self._resource, self.sent, b"", finish=True)


def _pieces(chunk: bytes) -> Iterable[wire.Piece]:
    if len(chunk) <= CHUNK_BYTES:
        return (chunk,)
    view = memoryview(chunk)
    return (view[start : start + CHUNK_BYTES] for start in range(0, len(view), CHUNK_BYTES))


class _Check:
    """Hashes a stream: large chunks in a thread, each while the next one is on its way."""

    def __init__(self, function: Function) -> None:
        self._hasher = hasher(function)
        self._job: asyncio.Future[None] | None = None

    async def update(self, chunk: bytes) -> None:
        """Take the next chunk; returns before a large one is hashed."""
        await self.settle()
        if len(chunk) < OFF_LOOP_BYTES:
            self._hasher.update(chunk)
        else:
            self._job = asyncio.get_running_loop().run_in_executor(None, self._hasher.update, chunk)

    async def hexdigest(self) -> str:
        """The hash of all chunks."""
        await self.settle()
        return self._hasher.hexdigest()

    async def settle(self) -> None:
        """Return when nothing is being hashed."""
        if self._job is not None:
            job, self._job = self._job, None
            await settled(job)

"""ByteStream: single blobs of any size, readable from any offset, resumable when an upload breaks (REAPI v2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nlserver.errors import Code, Error, invalid
from nlserver.proto import bytestream_pb2
from nlserver.reapi.digest import Digest, Function, is_empty
from nlserver.reapi.names import Compressor, WriteName, parse_read, parse_write
from nlserver.service import Context, InstanceSpec, Service, instance
from nlserver.spec import Seconds, Site, Size, key
from nlserver.store import Missing, Store, store_named
from nlserver.streams import CHUNK_BYTES, closing
from nlserver.transfer.answers import read_responses
from nlserver.transfer.intake import put_verified, short
from nlserver.transfer.uploads import Upload, UploadName, Uploads

_IDLE_SECONDS: Final = 120.0
"""A client that sends nothing, or takes nothing, for so long is gone."""
_HALF_CLOSE_SECONDS: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class ByteStreamSpec(InstanceSpec):
    """Serves the blobs of a store as streams under an instance name."""

    instance_name: str = ""
    """The name with which clients begin resource names; empty is the default instance."""
    cas_store: str
    """The store, by its name in `stores`; taken literally."""
    max_bytes_per_stream: Size = key(zero=CHUNK_BYTES)
    """The most bytes of a blob in one message to a client. Less than 1 MiB makes downloads slower."""
    persist_stream_on_disconnect_timeout_s: Seconds = key(zero=60, alias="persist_stream_on_disconnect_timeout")
    """How long an upload whose connection broke can be resumed."""


def build(specs: Sequence[ByteStreamSpec], site: Site) -> Service:
    """The service for these instances."""
    served = {spec.instance_name: _Instance(spec, store_named(site, spec.cas_store)) for spec in specs}
    for one in served.values():
        site.on_close(one.uploads.close)
    return ByteStream(served, Function[site.default_function.upper()])


class _Instance:
    """What one instance name stands for."""

    def __init__(self, spec: ByteStreamSpec, store: Store) -> None:
        self.store = store
        self.message_bytes = spec.max_bytes_per_stream
        self.uploads = Uploads(spec.persist_stream_on_disconnect_timeout_s)


class _Broken(Error):
    """The stream ended before its upload did; a second one may go on."""


class ByteStream(Service):
    """google.bytestream.ByteStream for blobs, as REAPI v2 names them. Every upload is verified."""

    descriptors = (bytestream_pb2.DESCRIPTOR.services_by_name["ByteStream"],)

    def __init__(
        self, instances: Mapping[str, _Instance], default: Function, *, idle_seconds: float = _IDLE_SECONDS
    ) -> None:
        self._instances = instances
        self._default = default
        self._idle_seconds = idle_seconds

    async def Read(self, request: bytestream_pb2.ReadRequest, context: Context) -> None:
        """The bytes of a blob from an offset, never an empty message.

        Raises Error NOT_FOUND before the first message, OUT_OF_RANGE for an offset outside the blob, DATA_LOSS when
        the blob turns out damaged, DEADLINE_EXCEEDED when the client takes nothing for two minutes.
        """
        name = parse_read(request.resource_name, self._default)
        _refuse_compressed(name.compressor)
        served = instance(self._instances, name.instance_name)
        digest = name.digest
        wanted = _wanted(digest, request.read_offset, request.read_limit)
        if not wanted:
            await _check_present(served.store, digest)
        elif wanted == digest.size_bytes <= CHUNK_BYTES:
            await self._send_whole(served, digest, context)
        else:
            await self._send_part(served, digest, request.read_offset, wanted, context)

    async def Write(
        self, requests: AsyncIterator[bytestream_pb2.WriteRequest], context: Context
    ) -> bytestream_pb2.WriteResponse:
        """Keep a blob, and answer its size, when all of it has come and is verified.

        A blob that is here already is taken to its end all the same: a NativeLink worker takes its upload for failed
        when the answer comes before it has sent everything (NativeLink behaviour).

        Raises Error INVALID_ARGUMENT for whatever repeating would not make right, DEADLINE_EXCEEDED when nothing
        comes for two minutes.
        """
        messages = _Messages(requests, self._idle_seconds)
        first = await messages.first()
        name = parse_write(first.resource_name, self._default)
        _refuse_compressed(name.compressor)
        served = instance(self._instances, name.instance_name)
        if first.finish_write and first.write_offset == 0:
            await put_verified(served.store, name.digest, first.data)
        else:
            await _receive(served, name, first, messages)
        await messages.check_end()
        return bytestream_pb2.WriteResponse(committed_size=name.digest.size_bytes)

    async def QueryWriteStatus(
        self, request: bytestream_pb2.QueryWriteStatusRequest, context: Context
    ) -> bytestream_pb2.QueryWriteStatusResponse:
        """How far an upload came, and whether its blob is here; an unknown upload came to 0.

        Never NOT_FOUND: Bazel would give up an upload that it can begin anew (NativeLink behaviour).
        """
        name = parse_write(request.resource_name, self._default)
        _refuse_compressed(name.compressor)
        served = instance(self._instances, name.instance_name)
        answer = bytestream_pb2.QueryWriteStatusResponse
        if is_empty(name.digest) or (await served.store.sizes([name.digest]))[0] is not None:
            return answer(committed_size=name.digest.size_bytes, complete=True)
        return answer(committed_size=served.uploads.received(_upload_name(name)))

    async def _send_whole(self, served: _Instance, digest: Digest, context: Context) -> None:
        data = await served.store.get(digest)
        if len(data) != digest.size_bytes:
            raise short(digest, len(data))
        await self._write(data, served, context)

    async def _send_part(self, served: _Instance, digest: Digest, offset: int, wanted: int, context: Context) -> None:
        sent = 0
        # A read to the end is not limited, so that a blob that is longer than its digest says is noticed.
        limit = None if offset + wanted == digest.size_bytes else wanted
        async with closing(served.store.read(digest, offset, limit)) as chunks:
            async for chunk in chunks:
                sent += len(chunk)
                if sent > wanted:
                    break
                await self._write(chunk, served, context)
        if sent != wanted:
            raise short(digest, offset + sent)

    async def _write(self, chunk: bytes, served: _Instance, context: Context) -> None:
        for message in read_responses(chunk, served.message_bytes):
            try:
                async with asyncio.timeout(self._idle_seconds):
                    await context.write(message)
            except TimeoutError:
                raise Error(
                    Code.DEADLINE_EXCEEDED, f"the client took nothing for {self._idle_seconds:g} seconds"
                ) from None


class _Messages:
    """The messages of one upload's stream, with a limit on the time between them."""

    def __init__(self, requests: AsyncIterator[bytestream_pb2.WriteRequest], idle_seconds: float) -> None:
        self._requests = requests
        self._idle_seconds = idle_seconds
        self._resource_name = ""

    async def first(self) -> bytestream_pb2.WriteRequest:
        """The message that names the resource. Raises Error INVALID_ARGUMENT when there is none."""
        message = await self._next()
        if message is None:
            raise invalid("the stream ended without any WriteRequest")
        self._resource_name = message.resource_name
        return message

    async def next(self) -> bytestream_pb2.WriteRequest:
        """The next message.

        Raises Error INVALID_ARGUMENT when it names another resource, or when the client ended the stream without
        having said `finish_write`.
        """
        message = await self._next()
        if message is None:
            raise _Broken(Code.INVALID_ARGUMENT, "Client closed stream before sending all data")
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

    async def _next(self) -> bytestream_pb2.WriteRequest | None:
        try:
            async with asyncio.timeout(self._idle_seconds):
                return await anext(self._requests, None)
        except TimeoutError:
            raise _Broken(
                Code.DEADLINE_EXCEEDED, f"the client sent nothing for {self._idle_seconds:g} seconds"
            ) from None


async def _receive(
    served: _Instance, name: WriteName, message: bytestream_pb2.WriteRequest, messages: _Messages
) -> None:
    owner, position = object(), message.write_offset
    if position < 0:
        raise invalid(f"Invalid negative write offset in write request: {position}")
    upload = served.uploads.open(owner, served.store, _upload_name(name), position)
    try:
        position = await _take(upload, owner, message, position)
        while not message.finish_write:
            message = await messages.next()
            position = await _take(upload, owner, message, position)
        await upload.finish(owner)
    except (asyncio.CancelledError, _Broken):
        served.uploads.park(upload, owner)
        raise
    finally:
        served.uploads.forget(upload, owner)


async def _take(upload: Upload, owner: object, message: bytestream_pb2.WriteRequest, position: int) -> int:
    """Push what is new in a message that must begin at `position`; returns where the next one begins."""
    if message.write_offset != position:
        raise invalid(f"Received out of order data. Got {message.write_offset}, expected {position}")
    upload.check(owner)
    data = message.data
    # A second stream may begin before the end of what the first one brought.
    fresh = data[upload.received - position :] if position < upload.received else data
    if fresh:
        await upload.push(owner, fresh)
    return position + len(data)


def _upload_name(name: WriteName) -> UploadName:
    return UploadName(name.instance_name, name.upload_id, name.digest)


def _refuse_compressed(compressor: Compressor) -> None:
    if compressor is not Compressor.IDENTITY:
        raise invalid(f"compressor {compressor} is not announced here")


def _wanted(digest: Digest, offset: int, limit: int) -> int:
    """How many bytes this read gives (google.bytestream, ReadRequest). Raises Error OUT_OF_RANGE, INVALID_ARGUMENT."""
    size = digest.size_bytes
    if not 0 <= offset <= size:
        raise Error(Code.OUT_OF_RANGE, f"read_offset {offset} is outside of the blob {digest}")
    if limit < 0:
        raise invalid(f"read_limit {limit} is negative")
    return min(limit, size - offset) if limit else size - offset


async def _check_present(store: Store, digest: Digest) -> None:
    if not is_empty(digest) and (await store.sizes([digest]))[0] is None:
        raise Missing(digest)

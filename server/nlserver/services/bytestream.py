"""ByteStream: single blobs of any size, readable from any offset, resumable when an upload breaks (REAPI v2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType

from nlserver.compressed import compressed, decompressed
from nlserver.errors import Code, Error, invalid
from nlserver.proto import bytestream_pb2
from nlserver.reapi import codec
from nlserver.reapi.digest import Digest, Function, is_empty
from nlserver.reapi.names import Compressor, WriteName, parse_read, parse_write
from nlserver.reapi.wire import WriteMessage, write_message
from nlserver.service import Context, InstanceSpec, Service, instance
from nlserver.spec import Seconds, Site, Size, key
from nlserver.store import Missing, Store, store_named
from nlserver.streams import CHUNK_BYTES, OFF_LOOP_BYTES, closing, off_loop
from nlserver.transfer.answers import read_responses
from nlserver.transfer.intake import put_verified, short
from nlserver.transfer.sending import IDLE_SECONDS, send
from nlserver.transfer.uploads import Upload, UploadName, Uploads
from nlserver.transfer.write_stream import Broken, CompressedData, WriteStream
from nlserver.verified import verified


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


def build(specs: Sequence[ByteStreamSpec], site: Site, *, compressing: frozenset[str] = frozenset()) -> Service:
    """The service for these instances; `compressing` names those whose blobs may travel compressed."""
    served = {
        spec.instance_name: _Instance(
            spec, store_named(site, spec.cas_store), codec.SERVED if spec.instance_name in compressing else ()
        )
        for spec in specs
    }
    for one in served.values():
        site.on_close(one.uploads.close)
    return ByteStream(served, Function[site.default_function.upper()])


class _Instance:
    """What one instance name stands for."""

    def __init__(self, spec: ByteStreamSpec, store: Store, compressors: Sequence[Compressor] = ()) -> None:
        self.store = store
        self.compressors = frozenset((Compressor.IDENTITY, *compressors))
        self.message_bytes = spec.max_bytes_per_stream
        self.uploads = Uploads(spec.persist_stream_on_disconnect_timeout_s)


class ByteStream(Service):
    """google.bytestream.ByteStream for blobs, as REAPI v2 names them. Every upload is verified."""

    descriptors = (bytestream_pb2.DESCRIPTOR.services_by_name["ByteStream"],)
    readers = MappingProxyType({"Write": write_message})

    def __init__(
        self, instances: Mapping[str, _Instance], default: Function, *, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._instances = instances
        self._default = default
        self._idle_seconds = idle_seconds

    async def Read(self, request: bytestream_pb2.ReadRequest, context: Context) -> None:
        """The bytes of a blob from an offset, never an empty message.

        Compressed, a stream of its own that stands for the bytes from the offset, which counts plain ones; there is
        no limit then (REAPI v2, compressed-blobs).

        Raises Error NOT_FOUND before the first message, OUT_OF_RANGE for an offset outside the blob, DATA_LOSS when
        the blob turns out damaged, DEADLINE_EXCEEDED when the client takes nothing for two minutes.
        """
        name = parse_read(request.resource_name, self._default)
        served = instance(self._instances, name.instance_name)
        _check_compressor(name.compressor, served)
        digest = name.digest
        wanted = _wanted(digest, request.read_offset, request.read_limit)
        if name.compressor is not Compressor.IDENTITY:
            if request.read_limit:
                raise invalid(f"read_limit is {request.read_limit}: a compressed read has none")
            await self._send_compressed(served, name.compressor, digest, request.read_offset, context)
        elif not wanted:
            await _check_present(served.store, digest)
        elif wanted == digest.size_bytes <= CHUNK_BYTES:
            await self._send_whole(served, digest, context)
        else:
            await self._send_part(served, digest, request.read_offset, wanted, context)

    async def Write(self, requests: AsyncIterator[WriteMessage], context: Context) -> bytestream_pb2.WriteResponse:
        """Keep a blob, and answer its size, when all of it has come and is verified.

        A blob that is here already is taken to its end all the same: a NativeLink worker takes its upload for failed
        when the answer comes before it has sent everything (NativeLink behaviour). Not so when it comes compressed:
        the answer is -1 at once then, and else the number of compressed bytes (REAPI v2, WriteResponse).

        Raises Error INVALID_ARGUMENT for whatever repeating would not make right, DEADLINE_EXCEEDED when nothing
        comes for two minutes.
        """
        messages = WriteStream(requests, self._idle_seconds)
        first = await messages.first()
        name = parse_write(first.resource_name, self._default)
        served = instance(self._instances, name.instance_name)
        _check_compressor(name.compressor, served)
        committed = name.digest.size_bytes
        if name.compressor is not Compressor.IDENTITY:
            committed = await _receive_compressed(served.store, name, first, messages)
        elif first.finish_write and first.write_offset == 0:
            await put_verified(served.store, name.digest, first.data)
        else:
            await _receive(served, name, first, messages)
        if committed >= 0:
            await messages.check_end()
        return bytestream_pb2.WriteResponse(committed_size=committed)

    async def QueryWriteStatus(
        self, request: bytestream_pb2.QueryWriteStatusRequest, context: Context
    ) -> bytestream_pb2.QueryWriteStatusResponse:
        """How far an upload came, and whether its blob is here; an unknown or compressed upload came to 0.

        Never NOT_FOUND: Bazel would give up an upload that it can begin anew (NativeLink behaviour).
        """
        name = parse_write(request.resource_name, self._default)
        served = instance(self._instances, name.instance_name)
        _check_compressor(name.compressor, served)
        answer = bytestream_pb2.QueryWriteStatusResponse
        if is_empty(name.digest) or (await served.store.sizes([name.digest]))[0] is not None:
            return answer(committed_size=name.digest.size_bytes, complete=True)
        if name.compressor is not Compressor.IDENTITY:
            return answer()
        return answer(committed_size=served.uploads.received(_upload_name(name)))

    async def _send_whole(self, served: _Instance, digest: Digest, context: Context) -> None:
        await self._write(await _whole(served.store, digest), served, context)

    async def _send_part(self, served: _Instance, digest: Digest, offset: int, wanted: int, context: Context) -> None:
        async with closing(_part(served.store, digest, offset, wanted)) as chunks:
            async for chunk in chunks:
                await self._write(chunk, served, context)

    async def _send_compressed(
        self, served: _Instance, compressor: Compressor, digest: Digest, offset: int, context: Context
    ) -> None:
        wanted = digest.size_bytes - offset
        if not wanted:
            await _check_present(served.store, digest)
            await self._write(codec.compress(b"", compressor), served, context)
        elif wanted == digest.size_bytes < OFF_LOOP_BYTES:
            data = await _whole(served.store, digest)
            await self._write(codec.compress(data, compressor), served, context)
        else:
            async with (
                closing(_part(served.store, digest, offset, wanted)) as plain,
                closing(compressed(plain, compressor)) as chunks,
            ):
                async for chunk in chunks:
                    await self._write(chunk, served, context)

    async def _write(self, chunk: bytes, served: _Instance, context: Context) -> None:
        for message in read_responses(chunk, served.message_bytes):
            await send(context, message, self._idle_seconds)


async def _receive(served: _Instance, name: WriteName, message: WriteMessage, messages: WriteStream) -> None:
    owner, position = object(), message.write_offset
    if position < 0:
        raise invalid(f"Invalid negative write offset in write request: {position}")
    upload = served.uploads.open(owner, served.store, _upload_name(name), position)
    try:
        position = await _take(upload, owner, message, position)
        while not message.finish_write:
            await upload.room()
            message = await messages.next()
            position = await _take(upload, owner, message, position)
        await upload.finish(owner)
    except (asyncio.CancelledError, Broken):
        served.uploads.park(upload, owner)
        raise
    finally:
        served.uploads.forget(upload, owner)


async def _receive_compressed(store: Store, name: WriteName, first: WriteMessage, messages: WriteStream) -> int:
    """How many compressed bytes came; -1 when the blob was here before they had."""
    digest = name.digest
    if first.finish_write and first.write_offset == 0 and digest.size_bytes <= CHUNK_BYTES:
        data = first.data
        plain = await off_loop(digest.size_bytes, codec.decompress, data, name.compressor, digest.size_bytes)
        await put_verified(store, digest, plain)
        return len(data)
    if (await store.sizes([digest]))[0] is not None:
        return -1
    sent = CompressedData(first, messages, digest.size_bytes)
    async with (
        aclosing(sent.chunks()) as chunks,
        closing(decompressed(chunks, name.compressor)) as plain_chunks,
        closing(verified(plain_chunks, digest)) as checked,
    ):
        await store.write(digest, checked)
    return sent.received if sent.finished else -1


async def _take(upload: Upload, owner: object, message: WriteMessage, position: int) -> int:
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


def _check_compressor(compressor: Compressor, served: _Instance) -> None:
    if compressor not in served.compressors:
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


async def _whole(store: Store, digest: Digest) -> bytes:
    data = await store.get(digest)
    if len(data) != digest.size_bytes:
        raise short(digest, len(data))
    return data


async def _part(store: Store, digest: Digest, offset: int, wanted: int) -> AsyncGenerator[bytes, None]:
    """So many bytes of a blob. Raises Error DATA_LOSS when it does not have them."""
    sent = 0
    # A read to the end is not limited, so that a blob that is longer than its digest says is noticed.
    limit = None if offset + wanted == digest.size_bytes else wanted
    async with closing(store.read(digest, offset, limit)) as chunks:
        async for chunk in chunks:
            sent += len(chunk)
            if sent > wanted:
                break
            yield chunk
    if sent != wanted:
        raise short(digest, offset + sent)

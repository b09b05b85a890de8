"""The calls of the content-addressable storage."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any, Final

import grpc
from nlserver.proto import bytestream_pb2
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import Digest
from nlserver.reapi.wire import number_at

from nlctl.bench.calls.call import Call, Connection, Fresh, Wrong
from nlctl.bench.calls.upload import WriteMessages, batch_update, check_batch_update, check_write, put, write_name
from nlctl.bench.orders import Exchange
from nlctl.bench.payload import Blob, Payload

_EOF: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined]
_DATA_TAG: Final = 0x52
_SEEDED_BYTES: Final = 64 << 20
_MOST_SEEDED: Final = 200
_ARMED_BYTES: Final = 64 << 20
_MOST_ARMED: Final = 50_000
_ABSENT_BYTES: Final = 32


class Find(Call):
    """FindMissingBlobs for digests of which some are there."""

    def __init__(self, connection: Connection, count: int, present: int, payload: Payload) -> None:
        self._connection = connection
        self._held = [payload.fresh() for _ in range(present)]
        self._absent = [payload.fresh().digest for _ in range(count - present)]
        digests = [digest for pair in itertools.zip_longest(self._held, self._absent) for digest in _names(pair)]
        self._request = re_pb.FindMissingBlobsRequest(
            instance_name=connection.instance, blob_digests=[_message(digest) for digest in digests]
        ).SerializeToString()
        self._answer_bytes = -1

    async def set_up(self) -> Exchange:
        """Ask, having uploaded what shall be there."""
        if self._answer_bytes < 0:
            await put(self._connection, self._held)
        answer = await self._connection.find_missing(self._request)
        missing = re_pb.FindMissingBlobsResponse.FromString(answer).missing_blob_digests
        if {one.hash for one in missing} != {digest.hash for digest in self._absent}:
            raise Wrong(f"{len(missing)} blobs are missing by its word, {len(self._absent)} are in truth")
        self._answer_bytes = len(answer)
        return Exchange(len(self._request), len(answer))

    async def once(self) -> int:
        """Ask."""
        if len(await self._connection.find_missing(self._request)) != self._answer_bytes:
            raise Wrong("another answer than before")
        return 0


class BatchRead(Call):
    """BatchReadBlobs of small blobs."""

    def __init__(self, connection: Connection, count: int, payload: Payload) -> None:
        self._connection = connection
        self._blobs = [payload.fresh() for _ in range(max(_seeded(payload.size), count))]
        groups = [self._blobs[at : at + count] for at in range(0, len(self._blobs) - count + 1, count)]
        self._groups = groups
        self._requests = [
            re_pb.BatchReadBlobsRequest(
                instance_name=connection.instance, digests=[_message(blob.digest) for blob in group]
            ).SerializeToString()
            for group in groups
        ]
        self._turn = itertools.cycle(self._requests)
        self._moved = count * payload.size
        self._answer_bytes = -1

    async def set_up(self) -> Exchange:
        """Upload, and read one batch back."""
        if self._answer_bytes < 0:
            await put(self._connection, self._blobs)
        answer = await self._connection.batch_read(self._requests[0])
        got = {one.digest.hash: one.data for one in re_pb.BatchReadBlobsResponse.FromString(answer).responses}
        for blob in self._groups[0]:
            _same(got.get(blob.digest.hash, b""), blob)
        self._answer_bytes = len(answer)
        return Exchange(len(self._requests[0]), len(answer))

    async def once(self) -> int:
        """Read one batch."""
        if len(await self._connection.batch_read(next(self._turn))) != self._answer_bytes:
            raise Wrong("an answer of another size")
        return self._moved


class BatchUpdate(Call):
    """BatchUpdateBlobs of small blobs that are new."""

    def __init__(self, connection: Connection, count: int, payload: Payload) -> None:
        self._connection = connection
        self._payload = payload
        self._count = count
        self._moved = count * payload.size
        self._fresh = Fresh(self._request, max(1, _ARMED_BYTES // max(self._moved, 1)))
        self._answer_bytes = -1

    def _request(self) -> bytes:
        return batch_update(self._connection.instance, [self._payload.fresh() for _ in range(self._count)])

    async def set_up(self) -> Exchange:
        """Upload one batch and read it back."""
        blobs = [self._payload.fresh() for _ in range(self._count)]
        request = batch_update(self._connection.instance, blobs)
        answer = await self._connection.batch_update(request)
        check_batch_update(answer, self._count)
        self._answer_bytes = len(answer)
        for blob in blobs:
            await read_back(self._connection, blob)
        return Exchange(len(request), len(answer))

    def arm(self, calls: int) -> None:
        """Make batches."""
        self._fresh.arm(calls)

    async def once(self) -> int:
        """Upload one batch."""
        if len(await self._connection.batch_update(self._fresh.next())) != self._answer_bytes:
            raise Wrong("an answer of another size")
        return self._moved


class Read(Call):
    """ByteStream.Read of whole blobs."""

    def __init__(self, connection: Connection, payload: Payload) -> None:
        self._connection = connection
        self._size = payload.size
        self._blobs = [payload.fresh() for _ in range(_seeded(payload.size))]
        self._requests = [read_request(connection.prefix, blob.digest) for blob in self._blobs]
        self._turn = itertools.cycle(self._requests)
        self._uploaded = False

    async def set_up(self) -> Exchange:
        """Upload, and read one blob back."""
        if not self._uploaded:
            await put(self._connection, self._blobs)
            self._uploaded = True
        await read_back(self._connection, self._blobs[-1])
        return Exchange(len(self._requests[0]), self._size)

    async def once(self) -> int:
        """Read one blob."""
        return await read_through(self._connection, next(self._turn), self._size)


class Write(Call):
    """ByteStream.Write of blobs that are new."""

    def __init__(self, connection: Connection, payload: Payload) -> None:
        self._connection = connection
        self._payload = payload
        self._size = payload.size
        self._messages = WriteMessages(payload.body, payload.mark_bytes)
        self._fresh = Fresh(self._named, _MOST_ARMED)
        self._answer = bytestream_pb2.WriteResponse(committed_size=payload.size).SerializeToString()

    def _named(self) -> tuple[bytes, bytes]:
        blob = self._payload.fresh()
        return write_name(self._connection.prefix, blob), blob.mark

    async def set_up(self) -> Exchange:
        """Upload one blob and read it back."""
        blob = self._payload.fresh()
        name = write_name(self._connection.prefix, blob)
        self._answer = await self._connection.write(self._messages.of(name, blob.mark))
        check_write(self._answer, self._size)
        await read_back(self._connection, blob)
        return Exchange(self._size, len(self._answer))

    def arm(self, calls: int) -> None:
        """Make names."""
        self._fresh.arm(calls)

    async def once(self) -> int:
        """Upload one blob."""
        if await self._connection.write(self._messages.of(*self._fresh.next())) != self._answer:
            raise Wrong("another answer than before")
        return self._size


def read_request(prefix: str, digest: Digest) -> bytes:
    """A ReadRequest for a whole blob."""
    name = f"{prefix}blobs/{digest.written}"
    return bytestream_pb2.ReadRequest(resource_name=name).SerializeToString()


async def read_through(connection: Connection, request: bytes, size: int) -> int:
    """Read a blob and throw it away. Raises Wrong when it has another size."""
    call: Any = connection.read(request)
    got = 0
    while (message := await call.read()) is not _EOF:
        got += _data_bytes(message)
    if got != size:
        raise Wrong(f"{got} bytes of {size} came")
    return size


def _data_bytes(message: bytes) -> int:
    """How much data a ReadResponse holds; parsed as a message where it is not written in the usual way."""
    if message and message[0] == _DATA_TAG:
        length, at = number_at(message, 1)
        if at + length == len(message):
            return length
    return len(bytestream_pb2.ReadResponse.FromString(message).data)


async def read_back(connection: Connection, blob: Blob) -> None:
    """Read a blob and hash it. Raises Wrong when it is another."""
    call: Any = connection.read(read_request(connection.prefix, blob.digest))
    pieces = []
    while (message := await call.read()) is not _EOF:
        pieces.append(bytestream_pb2.ReadResponse.FromString(message).data)
    _same(b"".join(pieces), blob)


def _same(data: bytes, blob: Blob) -> None:
    if len(data) != blob.digest.size_bytes or hashlib.sha256(data).hexdigest() != blob.digest.hash:
        raise Wrong(f"{blob.digest} came back as {len(data)} bytes that do not hash to its name")


def _seeded(size: int) -> int:
    """How many blobs are read in turn."""
    return max(1, min(_MOST_SEEDED, _SEEDED_BYTES // max(size, 1)))


def _names(pair: tuple[Blob | None, Digest | None]) -> list[Digest]:
    held, absent = pair
    return [*([held.digest] if held else []), *([absent] if absent else [])]


def _message(digest: Digest) -> re_pb.Digest:
    return re_pb.Digest(hash=digest.hash, size_bytes=digest.size_bytes)

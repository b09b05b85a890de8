"""Putting blobs onto a server before anything is timed, and the messages of streams."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Sequence
from typing import Final

from nlserver.proto import bytestream_pb2
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.wire import Piece, digest_message, field, varint

from nlctl.bench.calls.call import Connection, Wrong
from nlctl.bench.payload import Blob

CHUNK: Final = 1 << 20
"""The data in one message of a stream."""
LARGEST_IN_BATCH: Final = 1 << 20
_BATCH_BYTES: Final = 2 << 20
_BATCH_BLOBS: Final = 500
_NAME, _OFFSET, _FINISH, _DATA = b"\x0a", b"\x10", b"\x18\x01", b"\x52"
_INSTANCE, _ENTRY, _ENTRY_DIGEST, _ENTRY_DATA = b"\x0a", b"\x12", b"\x0a", b"\x12"
_uuids = itertools.count(uuid.uuid4().int >> 32 << 32)


def batch_update(instance: str, blobs: Sequence[Blob]) -> bytes:
    """REAPI v2, BatchUpdateBlobsRequest."""
    pieces: list[Piece] = [*field(_INSTANCE, instance.encode())] if instance else []
    for blob in blobs:
        name = digest_message(blob.digest)
        size = len(blob.body) + len(blob.mark)
        head = (*field(_ENTRY_DIGEST, name), _ENTRY_DATA, varint(size))
        pieces += (_ENTRY, varint(sum(map(len, head)) + size), *head, blob.body, blob.mark)
    return b"".join(pieces)


def write_name(prefix: str, blob: Blob) -> bytes:
    """The resource name of a new upload."""
    upload = uuid.UUID(int=next(_uuids))
    return f"{prefix}uploads/{upload}/blobs/{blob.digest.written}".encode()


class WriteMessages:
    """The WriteRequests of blobs that share a body: all but the first and the last are the same for each of them."""

    def __init__(self, body: Piece, mark_bytes: int) -> None:
        starts = range(0, max(len(body), 1), CHUNK)
        view = memoryview(body)
        self._bodies = [view[start : start + CHUNK] for start in starts]
        lengths = [len(piece) for piece in self._bodies]
        lengths[-1] += mark_bytes
        ends = [start == starts[-1] for start in starts]
        self._heads = [_head(*one) for one in zip(starts, lengths, ends, strict=True)]
        self._middle = [b"".join(pair) for pair in zip(self._heads[1:-1], self._bodies[1:-1], strict=True)]

    def of(self, name: bytes, mark: bytes) -> Iterator[bytes]:
        """The messages of one upload; the mark is in the last, which must hold all of it."""
        named = b"".join((*field(_NAME, name), self._heads[0], self._bodies[0]))
        if len(self._heads) == 1:
            yield named + mark
            return
        yield named
        yield from self._middle
        yield b"".join((self._heads[-1], self._bodies[-1], mark))


def _head(offset: int, length: int, last: bool) -> bytes:
    place = _OFFSET + varint(offset) if offset else b""
    return place + (_FINISH if last else b"") + (_DATA + varint(length) if length else b"")


async def put(connection: Connection, blobs: Sequence[Blob]) -> None:
    """Upload these blobs. Raises Wrong where the server does not keep one."""
    batch: list[Blob] = []
    total = 0
    for blob in blobs:
        size = blob.digest.size_bytes
        if size > LARGEST_IN_BATCH:
            await _put_stream(connection, blob)
            continue
        if batch and (total + size > _BATCH_BYTES or len(batch) == _BATCH_BLOBS):
            await _put_batch(connection, batch)
            batch, total = [], 0
        batch.append(blob)
        total += size
    if batch:
        await _put_batch(connection, batch)


async def _put_batch(connection: Connection, batch: Sequence[Blob]) -> None:
    check_batch_update(await connection.batch_update(batch_update(connection.instance, batch)), len(batch))


def check_batch_update(answer: bytes, count: int) -> None:
    """Raise Wrong unless all of so many blobs were kept."""
    responses = re_pb.BatchUpdateBlobsResponse.FromString(answer).responses
    refused = [one.status for one in responses if one.status.code]
    if refused:
        raise Wrong(f"BatchUpdateBlobs refused a blob: {refused[0].message}")
    if len(responses) != count:
        raise Wrong(f"BatchUpdateBlobs answered for {len(responses)} of {count} blobs")


async def _put_stream(connection: Connection, blob: Blob) -> None:
    messages = WriteMessages(blob.body, len(blob.mark)).of(write_name(connection.prefix, blob), blob.mark)
    check_write(await connection.write(messages), blob.digest.size_bytes)


def check_write(answer: bytes, size: int) -> None:
    """Raise Wrong unless so many bytes were committed."""
    committed = bytestream_pb2.WriteResponse.FromString(answer).committed_size
    if committed != size:
        raise Wrong(f"Write committed {committed} of {size} bytes")

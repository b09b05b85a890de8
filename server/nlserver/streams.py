"""Blob bytes on the move: async iterators of chunks, pulled from the bottom, and what wraps them.

Laws: chunks are never empty; whoever stops early closes the iterator (`aclosing`); nothing here holds more than a
chunk or two.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Final, TypeVar, TypeVarTuple

from nlserver.errors import Code, Error

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")
Chunks = AsyncIterator[bytes]
CHUNK_BYTES: Final = 1 << 20
"""A gRPC message costs 50-100 us, so about 1 MiB a message keeps a stream at memory speed."""
OFF_LOOP_BYTES: Final = 64 << 10
"""From this size on hashing and compressing leave the event loop: below, the hand-over costs more than the work."""


async def off_loop(size: int, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
    """The result of computing on `size` bytes, in a thread where they are worth it."""
    return await asyncio.to_thread(work, *arguments) if size >= OFF_LOOP_BYTES else work(*arguments)


async def once(data: bytes) -> AsyncGenerator[bytes, None]:
    """A stream of one chunk, or of none when `data` is empty."""
    if data:
        yield data


async def gather(chunks: Chunks, most: int) -> bytes:
    """All bytes of a stream in one piece. Raises Error RESOURCE_EXHAUSTED past `most` bytes."""
    parts: list[bytes] = []
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > most:
            raise Error(Code.RESOURCE_EXHAUSTED, f"a value of more than {most} bytes was to be held in memory")
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def part(chunks: Chunks, offset: int, limit: int | None) -> AsyncGenerator[bytes, None]:
    """Bytes [offset, offset + limit) of a stream; what comes after them is not pulled."""
    left = limit
    async for chunk in chunks:
        if offset >= len(chunk):
            offset -= len(chunk)
            continue
        piece = chunk[offset:] if offset else chunk
        offset = 0
        if left is not None:
            piece = piece[:left]
            left -= len(piece)
        if piece:
            yield piece
        if left == 0:
            return


async def drain(chunks: Chunks) -> int:
    """Pull a stream to its end and count its bytes."""
    total = 0
    async for chunk in chunks:
        total += len(chunk)
    return total


def closing(chunks: AsyncGenerator[bytes, None]) -> aclosing[AsyncGenerator[bytes, None]]:
    """`async with closing(store.read(key)) as chunks`: the stream is closed however the block ends."""
    return aclosing(chunks)

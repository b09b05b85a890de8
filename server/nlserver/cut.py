"""Blob bytes cut into content-defined pieces while they move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from nlserver.fastcdc import Cutter, Sizes
from nlserver.reapi.digest import Function, of
from nlserver.reapi.tree import Blob
from nlserver.streams import OFF_LOOP_BYTES, Chunks


async def named(chunks: Chunks, sizes: Sizes, function: Function) -> AsyncGenerator[list[Blob], None]:
    """The same bytes as pieces of FastCDC with their digests, in lists of those that came to be known together.

    No list is empty; a stream without bytes has none. Holds about `sizes.most` bytes and what one chunk brought. Large
    work is done in a thread.
    """

    def blobs(pieces: list[bytes]) -> list[Blob]:
        return [Blob(of(piece, function), piece) for piece in pieces]

    cutter = Cutter(sizes)
    async for chunk in chunks:
        cutter.feed(chunk)
        if cutter.due:
            yield await asyncio.to_thread(lambda: blobs(cutter.take()))
    if cutter.held >= OFF_LOOP_BYTES:
        yield await asyncio.to_thread(lambda: blobs(cutter.finish()))
    elif cutter.held:
        yield blobs(cutter.finish())

"""Blob bytes cut into content-defined pieces while they move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from nlserver.fastcdc import Cutter, Sizes
from nlserver.streams import OFF_LOOP_BYTES, Chunks


async def cut(chunks: Chunks, sizes: Sizes) -> AsyncGenerator[bytes, None]:
    """The same bytes, a chunk for each piece of FastCDC, whatever chunks come; none for a stream without bytes.

    Holds about `sizes.most` bytes and what one chunk brought. Large work is done in a thread.
    """
    cutter = Cutter(sizes)
    async for chunk in chunks:
        cutter.feed(chunk)
        if cutter.due:
            for piece in await asyncio.to_thread(cutter.take):
                yield piece
    pieces = await asyncio.to_thread(cutter.finish) if cutter.held >= OFF_LOOP_BYTES else cutter.finish()
    for piece in pieces:
        yield piece

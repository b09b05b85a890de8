"""Blob bytes cut into content-defined pieces while they move. Large work is done in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from nlserver.fastcdc import Cutter, Sizes
from nlserver.reapi.digest import Function, of
from nlserver.reapi.tree import Blob
from nlserver.streams import OFF_LOOP_BYTES, Chunks

T = TypeVar("T")


async def cut(chunks: Chunks, sizes: Sizes) -> AsyncGenerator[bytes, None]:
    """The same bytes, a chunk for each piece of FastCDC, whatever chunks come; none for a stream without bytes.

    Holds about `sizes.most` bytes and what one chunk brought.
    """
    async with aclosing(_rounds(chunks, sizes, list)) as rounds:
        async for pieces in rounds:
            for piece in pieces:
                yield piece


async def named(chunks: Chunks, sizes: Sizes, function: Function) -> AsyncGenerator[list[Blob], None]:
    """As `cut`, with the digests of the pieces: lists of those that came to be known together."""

    def blobs(pieces: list[bytes]) -> list[Blob]:
        return [Blob(of(piece, function), piece) for piece in pieces]

    async with aclosing(_rounds(chunks, sizes, blobs)) as rounds:
        async for pieces in rounds:
            yield pieces


async def _rounds(
    chunks: Chunks, sizes: Sizes, made: Callable[[list[bytes]], list[T]]
) -> AsyncGenerator[list[T], None]:
    """What is made of the pieces, in the thread that cuts them."""
    cutter = Cutter(sizes)
    async for chunk in chunks:
        cutter.feed(chunk)
        if cutter.due:
            yield await asyncio.to_thread(lambda: made(cutter.take()))
    if cutter.held >= OFF_LOOP_BYTES:
        yield await asyncio.to_thread(lambda: made(cutter.finish()))
    elif cutter.held:
        yield made(cutter.finish())

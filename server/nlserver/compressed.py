"""Blob bytes compressed for the wire and back, while they move (REAPI v2, Compressor)."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from nlserver.errors import Code
from nlserver.reapi.codec import decoder, encoder
from nlserver.reapi.names import Compressor
from nlserver.streams import OFF_LOOP_BYTES, Chunks, off_loop


async def compressed(chunks: Chunks, compressor: Compressor) -> AsyncGenerator[bytes, None]:
    """One stream that stands for these chunks; of no chunks, an empty stream, which has bytes all the same."""
    sink = encoder(compressor)
    async for chunk in chunks:
        if ready := await off_loop(len(chunk), sink.feed, chunk):
            yield ready
    # It may hold back some hundred kilobytes.
    yield await off_loop(OFF_LOOP_BYTES, sink.finish)


async def decompressed(
    chunks: Chunks, compressor: Compressor, damaged: Code = Code.INVALID_ARGUMENT
) -> AsyncGenerator[bytes, None]:
    """What a stream stands for, in chunks of about a mebibyte at most, however many each of its own stands for.

    Raises Error with the code of `damaged` for what is no whole stream.
    """
    source = decoder(compressor, damaged)
    piece = b""
    async for chunk in chunks:
        source.feed(chunk)
        while not source.needs_input:
            # How much work it is shows in what came before.
            piece = await off_loop(max(len(chunk), len(piece)), source.take)
            if piece:
                yield piece
    source.finish()

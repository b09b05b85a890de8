"""Values compressed on their way into another store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from nlserver.blocks import Decoder, Encoder, Footer, check_block_size, ends_before, footer_bytes, parse_footer
from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest
from nlserver.spec import U32, Site, Size, Spec, key
from nlserver.store import Key, Missing, Store, StoreSpec, Wrapper, expect_no_bytes, file_chunks, is_empty
from nlserver.streams import CHUNK_BYTES, OFF_LOOP_BYTES, Chunks, closing, gather, part

A = TypeVar("A")
T = TypeVar("T")
_TAIL_BYTES: Final = 128 << 10
"""So much of a value's end is read to find its index: enough for 1 GB at the usual block size."""


class CompressionAlgorithm(Spec, kinds=""):
    """How values are compressed: an object with exactly one key, the algorithm."""

    def build(self, backend: Store) -> Store:
        """The store that compresses into this backend."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Lz4Spec(CompressionAlgorithm, tag="lz4"):
    """lz4 blocks, in NativeLink's format."""

    block_size: Size = key(zero=64 << 10, most=U32)
    """So many bytes are compressed together: larger blocks compress better, smaller ones make ranges cheaper."""
    max_decode_block_size: Size | None = key(zero=None, most=U32)
    """Refuse to read values with larger blocks than this; 0 means `block_size`."""

    def build(self, backend: Store) -> Store:
        """The store that compresses into this backend."""
        return Compression(backend, self.block_size, self.max_decode_block_size or self.block_size)


@dataclass(frozen=True, kw_only=True)
class CompressionSpec(StoreSpec, tag="compression"):
    """Compresses values; the backend sees other bytes under the same keys, so it must not verify them."""

    backend: StoreSpec
    """Where the compressed values go."""
    compression_algorithm: CompressionAlgorithm
    """How they are compressed."""

    def build(self, site: Site) -> Store:
        """A wrapper around the backend."""
        return self.compression_algorithm.build(self.backend.build(site))


class Compression(Wrapper):
    """Compresses writes and decompresses reads, block by block. `sizes` are those of the compressed values."""

    def __init__(self, backend: Store, block_size: int, most_block_bytes: int) -> None:
        super().__init__(backend)
        self._block_size = block_size
        self._most_block_bytes = most_block_bytes

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """Bytes of the plain value. Far into a value, the footer's index saves reading what comes before."""
        if is_empty(key) or limit == 0:
            await self._expect(key)
            return
        footer = await self._footer(key) if offset >= CHUNK_BYTES else None
        plain = self._whole(key, offset, limit) if footer is None else self._range(key, footer, offset, limit)
        async with closing(plain) as pieces:
            async for piece in pieces:
                yield piece

    async def write(self, key: Key, chunks: Chunks) -> None:
        """Compress a stream into the backend."""
        if is_empty(key):
            await expect_no_bytes(key, chunks)
            return
        async with aclosing(self._compressed(key, chunks)) as stored:
            await self.backend.write(key, stored)

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """The whole plain value."""
        if is_empty(key):
            return b""
        decoder = Decoder(self._most_block_bytes)
        # Noise grows by the frames' headers and the index.
        decoder.feed(await self.backend.get(key, most + most // 16 + 4096))
        plain = [piece async for piece in self._taken(decoder, most)]
        decoder.finish()
        return plain[0] if len(plain) == 1 else b"".join(plain)

    async def put(self, key: Key, data: bytes) -> None:
        """Compress a small value."""
        if len(data) > CHUNK_BYTES or is_empty(key):
            await super(Wrapper, self).put(key, data)
            return
        encoder = self._encoder(key)
        stored = await _worked(encoder.feed, data, len(data))
        await self.backend.put(key, stored + encoder.finish())

    async def write_file(self, key: Key, path: Path) -> None:
        """Compress the content of a file."""
        async with aclosing(file_chunks(path)) as chunks:
            await self.write(key, chunks)

    def _encoder(self, key: Key) -> Encoder:
        return Encoder(self._block_size, key.size_bytes if isinstance(key, Digest) else 0)

    async def _compressed(self, key: Key, chunks: Chunks) -> AsyncGenerator[bytes, None]:
        encoder = self._encoder(key)
        async for chunk in chunks:
            if ready := await _worked(encoder.feed, chunk, len(chunk)):
                yield ready
        yield encoder.finish()

    async def _expect(self, key: Key) -> None:
        if (await self.backend.sizes([key]))[0] is None:
            raise Missing(key)

    async def _whole(self, key: Key, offset: int, limit: int | None) -> AsyncGenerator[bytes, None]:
        async with closing(self.backend.read(key)) as stored, closing(self._decoded(stored)) as plain:
            async for piece in part(plain, offset, limit):
                yield piece

    async def _range(self, key: Key, footer: Footer, offset: int, limit: int | None) -> AsyncGenerator[bytes, None]:
        if offset >= footer.size:
            return
        end = footer.size if limit is None else min(footer.size, offset + limit)
        first, after = offset // footer.block_size, -(-end // footer.block_size)
        start = footer.start(first)
        length = None if after == footer.blocks else footer.start(after) - start
        async with (
            closing(self.backend.read(key, start, length)) as stored,
            closing(self._decoded(stored, footer.block_size)) as plain,
        ):
            async for piece in part(plain, offset - first * footer.block_size, end - offset):
                yield piece

    async def _decoded(self, stored: Chunks, block_size: int = 0) -> AsyncGenerator[bytes, None]:
        decoder = Decoder(self._most_block_bytes, block_size)
        async for chunk in stored:
            decoder.feed(chunk)
            async with aclosing(self._taken(decoder)) as pieces:
                async for piece in pieces:
                    yield piece
        decoder.finish()

    async def _taken(self, decoder: Decoder, most: int | None = None) -> AsyncGenerator[bytes, None]:
        total = 0
        while piece := await _worked(decoder.take, CHUNK_BYTES, decoder.waiting):
            total += len(piece)
            if most is not None and total > most:
                raise Error(Code.RESOURCE_EXHAUSTED, f"a value of more than {most} bytes was to be held in memory")
            yield piece

    async def _footer(self, key: Key) -> Footer | None:
        """The index of a stored value, or None where the backend cannot say where the value ends."""
        size = (await self.backend.sizes([key]))[0]
        if size is None:
            raise Missing(key)
        try:
            tail = await gather(self.backend.read(key, max(0, size - _TAIL_BYTES)), 2 * _TAIL_BYTES)
            wanted = footer_bytes(tail)
            if wanted > size:
                return None
            if wanted > len(tail):
                tail = await gather(self.backend.read(key, size - wanted), wanted)
            footer = parse_footer(tail[len(tail) - wanted :])
            if not ends_before(footer, tail, size):
                return None
        except Error as failure:
            if failure.code in (Code.DATA_LOSS, Code.RESOURCE_EXHAUSTED):
                return None
            raise
        check_block_size(footer.block_size, self._most_block_bytes)
        return footer


async def _worked(work: Callable[[A], T], argument: A, size: int) -> T:
    """What the codec makes of `size` bytes; more than a few of them are for a thread."""
    return await asyncio.to_thread(work, argument) if size >= OFF_LOOP_BYTES else work(argument)

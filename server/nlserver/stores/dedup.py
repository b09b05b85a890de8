"""Blobs as content-defined chunks, so that what two of them have in common is kept once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final, Self

from nlserver.cut import named
from nlserver.errors import Code, Error
from nlserver.fastcdc import Sizes
from nlserver.reapi.digest import Digest, Function, of
from nlserver.reapi.parallel import each
from nlserver.reapi.tree import Blob
from nlserver.recipe import MOST_BYTES, Recipe, Slice
from nlserver.spec import U32, Number, Site, Size, key
from nlserver.store import Key, Missing, Store, StoreSpec, expect_no_bytes, is_empty
from nlserver.streams import CHUNK_BYTES, OFF_LOOP_BYTES, Chunks, closing, gather

_KEYS_AT_ONCE: Final = 16
_PIECES_AT_ONCE: Final = 2048
_PUTS_AT_ONCE: Final = 64
_AHEAD_BYTES: Final = 4 << 20


@dataclass(frozen=True, kw_only=True)
class DedupSpec(StoreSpec, tag="dedup"):
    """Cuts blobs into chunks where their content says so (FastCDC), and keeps each chunk once.

    A blob is there when all its chunks are. `sizes` and reads count as use of every chunk of a blob.
    """

    index_store: StoreSpec
    """Keeps which chunks make which blob, under the blob's digest: it must not verify what it is given."""
    content_store: StoreSpec
    """Keeps the chunks, under the BLAKE3 of each. It must never hold anything else under their digests."""
    min_size: Size = key(zero=64 << 10, most=U32)
    """Bytes of the smallest chunk: 64 or more."""
    normal_size: Size = key(zero=256 << 10, most=U32)
    """Bytes that chunks have on average: 256 or more."""
    max_size: Size = key(zero=512 << 10, most=U32)
    """Bytes of the largest chunk: 16 MiB or less."""
    max_concurrent_fetch_per_get: Number = key(zero=10, most=U32)
    """Chunks fetched at a time for one blob, as far as they have about 4 MiB together."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """Sizes that nothing can be cut with."""
        problem = values.sizes().problem()
        return [] if problem is None else [problem]

    def sizes(self) -> Sizes:
        """How large the chunks are."""
        return Sizes(self.min_size, self.normal_size, self.max_size)

    def build(self, site: Site) -> Store:
        """The two stores as one. Raises Error FAILED_PRECONDITION when they are the same one."""
        index, content = self.index_store.build(site), self.content_store.build(site)
        if index is content:
            raise Error(
                Code.FAILED_PRECONDITION,
                "index_store and content_store of a dedup store are the same store",
                remedy="use two: the index of a BLAKE3 blob may have the name of a chunk",
            )
        return Dedup(index, content, self.sizes(), self.max_concurrent_fetch_per_get)


class Dedup(Store):
    """Recipes in one store, pieces in another.

    A recipe is written when all its pieces are kept. Pieces that no recipe names any more fall to the eviction of
    the content store. What lost a piece is absent.
    """

    def __init__(self, index: Store, content: Store, sizes: Sizes, at_once: int) -> None:
        self._index = index
        self._content = content
        self._sizes = sizes
        self._at_once = at_once

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """The bytes of the whole value, for those of which every piece is there."""
        found: dict[Key, int | None] = {}

        async def look(key: Key) -> None:
            with suppress(Missing):
                found[key] = 0 if is_empty(key) else (await self._present(key)).size

        await each(dict.fromkeys(keys), look, _KEYS_AT_ONCE)
        return [found.get(key) for key in keys]

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """The pieces, some of them fetched ahead. Raises Missing later, too, when a piece was lost meanwhile."""
        if is_empty(key):
            return
        recipe = await self._present(key)
        slices = recipe.slices(offset, limit)
        async with closing(self._fetched(key, slices)) as pieces, closing(_even(pieces)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """The whole value."""
        if is_empty(key):
            return b""
        recipe = await self._present(key)
        if recipe.size > most:
            raise Error(Code.RESOURCE_EXHAUSTED, f"{key} has {recipe.size} bytes, more than the {most} asked for")
        async with closing(self._fetched(key, recipe.slices(0, None))) as pieces:
            return await gather(pieces, most)

    async def write(self, key: Key, chunks: Chunks) -> None:
        """Keep the pieces that are new, and at last the recipe."""
        if is_empty(key):
            await expect_no_bytes(key, chunks)
            return
        recipe = Recipe()
        keeping: asyncio.Task[None] | None = None
        rounds = 0
        try:
            async with aclosing(named(chunks, self._sizes, Function.BLAKE3)) as cut:
                async for blobs in cut:
                    for blob in blobs:
                        recipe.add(blob.digest)
                    # One round is kept while the next one comes.
                    if keeping is not None:
                        await keeping
                    keeping = asyncio.create_task(self._keep(blobs))
                    rounds += 1
            if keeping is not None:
                await keeping
        except BaseException:
            if keeping is not None:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
            raise
        if rounds > 1:
            await self._confirm(key, recipe)
        await self._index.put(key, bytes(recipe))

    async def put(self, key: Key, data: bytes) -> None:
        """Keep a small value, which is a single piece."""
        if len(data) > self._sizes.least or len(data) >= OFF_LOOP_BYTES or is_empty(key):
            await super().put(key, data)
            return
        recipe = Recipe()
        if data:
            blob = Blob(of(data, Function.BLAKE3), data)
            recipe.add(blob.digest)
            await self._keep([blob])
        await self._index.put(key, bytes(recipe))

    async def remove(self, key: Key) -> bool:
        """Forget the recipe; other values may need the pieces."""
        return await self._index.remove(key)

    def children(self) -> Mapping[str, Store]:
        """Both, by their config keys."""
        return {"index_store": self._index, "content_store": self._content}

    async def _keep(self, blobs: Iterable[Blob]) -> None:
        """Put what is not there; asking counts as use of what is."""
        pieces = {blob.digest: blob.data for blob in blobs}
        sizes = await self._content.sizes(list(pieces))
        absent = [digest for digest, size in zip(pieces, sizes, strict=True) if size is None]
        await each(absent, lambda digest: self._content.put(digest, pieces[digest]), min(len(absent), _PUTS_AT_ONCE))

    async def _confirm(self, key: Key, recipe: Recipe) -> None:
        """Raise Error RESOURCE_EXHAUSTED when the first pieces of a long stream are gone by its end."""
        if await self._lost(recipe):
            raise Error(
                Code.RESOURCE_EXHAUSTED,
                f"{key} does not fit: its first pieces were evicted before the last ones came",
                remedy="give the content_store more room",
            )

    async def _present(self, key: Key) -> Recipe:
        """The recipe, all of whose pieces are there. Raises Missing."""
        recipe = Recipe.parsed(await self._index.get(key, MOST_BYTES))
        if recipe is None or await self._lost(recipe):
            raise Missing(key)
        return recipe

    async def _lost(self, recipe: Recipe) -> bool:
        for pieces in recipe.batches(_PIECES_AT_ONCE):
            if None in await self._content.sizes(list(dict.fromkeys(pieces))):
                return True
        return False

    async def _fetched(self, key: Key, slices: Iterable[Slice]) -> AsyncGenerator[bytes, None]:
        """The slices in order, while those after them are on their way."""
        ahead: deque[tuple[Slice, asyncio.Task[bytes]]] = deque()
        held = 0
        try:
            for wanted in slices:
                ahead.append((wanted, asyncio.create_task(self._piece(key, wanted.digest))))
                held += wanted.digest.size_bytes
                while ahead and (len(ahead) >= self._at_once or held >= _AHEAD_BYTES):
                    held -= ahead[0][0].digest.size_bytes
                    yield await _taken(ahead)
            while ahead:
                yield await _taken(ahead)
        finally:
            for _, task in ahead:
                task.cancel()
            await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)

    async def _piece(self, key: Key, digest: Digest) -> bytes:
        try:
            data = await self._content.get(digest, digest.size_bytes)
        except Missing:
            raise Missing(key) from None
        if len(data) != digest.size_bytes:
            raise Error(Code.DATA_LOSS, f"piece {digest} of {key} is damaged: it has {len(data)} bytes")
        return data


async def _taken(ahead: deque[tuple[Slice, asyncio.Task[bytes]]]) -> bytes:
    (digest, start, stop), task = ahead[0]
    data = await task
    ahead.popleft()
    return data if stop - start == digest.size_bytes else data[start:stop]


async def _even(pieces: Chunks) -> AsyncGenerator[bytes, None]:
    """The same bytes in chunks of about CHUNK_BYTES."""
    waiting: list[bytes] = []
    held = 0
    async for piece in pieces:
        if held and held + len(piece) > CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, held = [], 0
        while len(piece) > CHUNK_BYTES:
            yield piece[:CHUNK_BYTES]
            piece = piece[CHUNK_BYTES:]
        waiting.append(piece)
        held += len(piece)
    if held:
        yield b"".join(waiting)

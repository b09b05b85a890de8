"""What blobs have in common is kept once, and a blob is whole or absent."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.eviction import EvictionPolicy
from nlserver.fastcdc import Cutter, Sizes
from nlserver.reapi.digest import Digest, Function, of
from nlserver.recipe import MOST_BYTES, Recipe
from nlserver.spec import Site
from nlserver.store import Key, Missing, Store, Wrapper
from nlserver.stores.dedup import Dedup, DedupSpec
from nlserver.stores.memory import MemorySpec
from nlserver.stores.ref_store import RefStoreSpec
from nlserver.streams import closing, gather

SMALL = {"min_size": 64, "normal_size": 1024, "max_size": 4096}


def noise(size: int, seed: int = 3) -> bytes:
    return random.Random(seed).randbytes(size)


class Parts:
    """A dedup store and the two below it."""

    def __init__(self, build: Callable[..., Store]) -> None:
        spec = DedupSpec(index_store=MemorySpec(), content_store=MemorySpec(), **SMALL)
        self.sizes = spec.sizes()
        self.store = store = build(spec)
        self.index = store.children()["index_store"]
        self.content = store.children()["content_store"]

    async def recipe(self, key: Key) -> list[Digest]:
        recipe = Recipe.parsed(await self.index.get(key))
        assert recipe is not None
        return list(recipe)

    async def bytes_kept(self, keys: Sequence[Key]) -> int:
        pieces = {piece for key in keys for piece in await self.recipe(key)}
        assert None not in await self.content.sizes(list(pieces))
        return sum(piece.size_bytes for piece in pieces)


@pytest.fixture
def parts(build: Callable[..., Store]) -> Parts:
    return Parts(build)


async def test_what_two_blobs_have_in_common_is_kept_once(parts: Parts) -> None:
    first = noise(100_000)
    second = first[:50_000] + b"inserted" + first[50_000:]
    for data in (first, second):
        await parts.store.put(of(data), data)
    assert await parts.bytes_kept([of(first), of(second)]) < 100_000 + 10_000
    assert await parts.store.get(of(first)) == first
    assert await parts.store.get(of(second)) == second


async def test_a_piece_that_is_there_is_not_written_again(build: Callable[..., Store]) -> None:
    class Counting(Wrapper):
        written = 0

        async def put(self, key: Key, data: bytes) -> None:
            self.written += len(data)
            await super().put(key, data)

    content = Counting(build(MemorySpec()))
    store = Dedup(build(MemorySpec()), content, Sizes(64, 1024, 4096), 2)
    data = noise(30_000)
    for blob in (data, data, data + noise(100, 1), data[:10_000]):
        await store.put(of(blob), blob)
    assert content.written < 30_000 + 2 * 4096


async def test_pieces_are_named_by_their_blake3_whatever_names_the_blob(parts: Parts) -> None:
    for function in Function:
        data = noise(20_000)
        await parts.store.put(of(data, function), data)
        pieces = await parts.recipe(of(data, function))
        assert [of(await parts.content.get(piece), Function.BLAKE3) for piece in pieces] == pieces


async def test_a_small_value_has_a_recipe_too(parts: Parts) -> None:
    await parts.store.put(of(b"tiny"), b"tiny")
    assert await parts.recipe(of(b"tiny")) == [of(b"tiny", Function.BLAKE3)]


@pytest.mark.parametrize("place", [0, 7, -1])
async def test_a_blob_that_lost_a_piece_is_absent_until_it_comes_again(parts: Parts, place: int) -> None:
    data = noise(50_000)
    await parts.store.put(of(data), data)
    assert await parts.content.remove((await parts.recipe(of(data)))[place])
    assert await parts.store.sizes([of(data)]) == [None]
    with pytest.raises(Missing) as caught:
        await parts.store.get(of(data))
    assert caught.value.keys == (of(data),)
    for offset, limit in ((0, None), (25_000, 10), (60_000, None)):
        with pytest.raises(Missing):
            await anext(parts.store.read(of(data), offset, limit))
    await parts.store.put(of(data), data)
    assert await parts.store.sizes([of(data)]) == [len(data)]
    assert await parts.store.get(of(data)) == data


async def test_a_piece_that_is_lost_while_reading_ends_the_stream(parts: Parts) -> None:
    data = noise(3 << 20)
    await parts.store.put(of(data), data)
    async with closing(parts.store.read(of(data))) as chunks:
        seen = await anext(chunks)
        await parts.content.remove((await parts.recipe(of(data)))[-1])
        with pytest.raises(Missing) as caught:
            await gather(chunks, len(data))
    assert caught.value.keys == (of(data),)
    assert data.startswith(seen)


async def test_a_damaged_piece_is_told(parts: Parts) -> None:
    data = noise(50_000)
    await parts.store.put(of(data), data)
    await parts.content.put((await parts.recipe(of(data)))[3], b"short")
    with pytest.raises(Error, match="damaged") as caught:
        await parts.store.get(of(data))
    assert caught.value.code is Code.DATA_LOSS


async def test_a_damaged_recipe_counts_as_missing(parts: Parts) -> None:
    data = noise(50_000)
    await parts.store.put(of(data), data)
    good = await parts.index.get(of(data))
    for bad in (b"", good[:5], good[:-1], good[:-36], b"\x02" + good[1:], good[:1] + b"\xff" + good[2:], data):
        await parts.index.put(of(data), bad)
        assert await parts.store.sizes([of(data)]) == [None]
        with pytest.raises(Missing):
            await parts.store.get(of(data))


async def test_a_stream_whose_first_pieces_go_before_its_last_ones_come_is_refused(parts: Parts) -> None:
    data = noise(100_000)
    cutter = Cutter(parts.sizes)
    cutter.feed(data)
    first, *_ = cutter.take()

    async def stream() -> AsyncIterator[bytes]:
        yield data[:50_000]
        yield data[50_000:80_000]
        assert await parts.content.remove(of(first, Function.BLAKE3))
        yield data[80_000:]

    with pytest.raises(Error, match="evicted") as caught:
        await parts.store.write(of(data), stream())
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert await parts.store.sizes([of(data)]) == [None]


async def test_what_the_content_store_refuses_is_refused(build: Callable[..., Store]) -> None:
    class Full(Store):
        async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
            return [None for _ in keys]

        async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
            raise Missing(key)
            yield b""

        async def write(self, key: Key, chunks: AsyncIterator[bytes]) -> None:
            raise Error(Code.RESOURCE_EXHAUSTED, "the disk is full")

    index = build(MemorySpec())
    store = Dedup(index, Full(), Sizes(64, 1024, 4096), 2)
    data = noise(50_000)
    with pytest.raises(Error, match="the disk is full"):
        await store.put(of(data), data)
    assert await index.sizes([of(data)]) == [None]


async def test_what_is_asked_for_stays_longest(build: Callable[..., Store]) -> None:
    content = MemorySpec(eviction_policy=EvictionPolicy(max_bytes=100_000))
    store = build(DedupSpec(index_store=MemorySpec(), content_store=content, **SMALL))
    blobs = [noise(30_000, seed) for seed in range(3)]
    for data in blobs:
        await store.put(of(data), data)
    assert await store.sizes([of(blobs[0])]) == [30_000]
    await store.put(of(noise(30_000, 9)), noise(30_000, 9))
    assert await store.sizes([of(data) for data in blobs]) == [30_000, None, 30_000]


def test_index_and_content_are_two_stores() -> None:
    twice = RefStoreSpec(name="ONE")
    site = Site({"store": {"ONE": MemorySpec()}})
    with pytest.raises(Error, match="same store") as caught:
        DedupSpec(index_store=twice, content_store=twice).build(site)
    assert caught.value.code is Code.FAILED_PRECONDITION


def test_a_value_of_too_many_pieces_is_refused() -> None:
    recipe = Recipe(bytes(MOST_BYTES // 36 * 36))
    with pytest.raises(Error, match="pieces") as caught:
        recipe.add(of(b"one more", Function.BLAKE3))
    assert caught.value.code is Code.RESOURCE_EXHAUSTED


@settings(deadline=None)
@given(st.data())
async def test_what_goes_in_comes_out_in_any_part(data: st.DataObject) -> None:
    store = DedupSpec(index_store=MemorySpec(), content_store=MemorySpec(), **SMALL).build(Site())
    stock = noise(9000)
    cuts = data.draw(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 3000)), max_size=5))
    blob = b"".join(stock[at : at + size] for at, size in cuts)
    ends = sorted(data.draw(st.lists(st.integers(0, len(blob)), max_size=4)))

    async def stream() -> AsyncIterator[bytes]:
        for start, end in zip([0, *ends], [*ends, len(blob)], strict=True):
            if start < end:
                yield blob[start:end]

    await store.write("key", stream())
    assert await store.sizes(["key"]) == [len(blob)]
    assert await store.get("key") == blob
    offset = data.draw(st.integers(0, len(blob) + 10))
    limit = data.draw(st.none() | st.integers(0, len(blob) + 10))
    async with closing(store.read("key", offset, limit)) as chunks:
        assert await gather(chunks, 1 << 20) == blob[offset : None if limit is None else offset + limit]

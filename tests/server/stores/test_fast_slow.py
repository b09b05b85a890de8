"""Two tiers: who is asked, who is filled, who is waited for, and what happens when one of them fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from nlserver.clock import SystemClock
from nlserver.errors import Code, Error
from nlserver.eviction import UNBOUNDED
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.store import Key, Missing, Store, WorkerStore
from nlserver.stores.fast_slow import Direction, FastSlow, FastSlowSpec
from nlserver.stores.filesystem import Filesystem, FilesystemSpec
from nlserver.stores.memory import Memory, MemorySpec
from nlserver.stores.noop import Noop, NoopSpec
from nlserver.streams import Chunks, closing, gather, once
from nlserver.tiers.branch import Branch
from nlserver.tiers.filling import Filling

MIB = 1 << 20
LARGE = b"".join(number.to_bytes(4, "big") for number in range(MIB))
SMALL = b"a small blob"


class Tier(Memory):
    """A tier that tests look into, hold up and break."""

    def __init__(self) -> None:
        super().__init__(UNBOUNDED, SystemClock())
        self.reads = 0
        self.bytes_read = 0
        self.looked_up = 0
        self.was_read = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        self.read_failures: list[Error] = []
        self.write_failure: Error | None = None
        self.stops_pulling_after: int | None = None

    async def sizes(self, keys: Any) -> list[int | None]:
        self.looked_up += 1
        return await super().sizes(keys)

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        self.reads += 1
        self.was_read.set()
        async with closing(super().read(key, offset, limit)) as chunks:
            async for chunk in chunks:
                await self.go.wait()
                if self.read_failures:
                    raise self.read_failures.pop(0)
                self.bytes_read += len(chunk)
                yield chunk

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        return await gather(self.read(key), most)

    async def write(self, key: Key, chunks: Chunks) -> None:
        if self.stops_pulling_after is not None:
            async for _ in chunks:
                self.stops_pulling_after -= 1
                if self.stops_pulling_after < 0:
                    return
        if self.write_failure is not None:
            await anext(aiter(chunks))
            raise self.write_failure
        await super().write(key, chunks)

    async def put(self, key: Key, data: bytes) -> None:
        await self.write(key, once(data))

    async def has(self, key: Key) -> bool:
        return (await Memory.sizes(self, [key]))[0] is not None


class Tiers:
    """A fast_slow store over two such tiers."""

    def __init__(self, **keys: Any) -> None:
        self.fast, self.slow = Tier(), Tier()
        self.store = FastSlow(self.fast, self.slow, FastSlowSpec(fast=MemorySpec(), slow=MemorySpec(), **keys))

    async def idle(self) -> None:
        """Return when no fill is under way."""
        tasks = self.store._filling._tasks
        if tasks:
            await asyncio.wait(tasks)


@pytest.fixture
async def tiers() -> AsyncIterator[Tiers]:
    tiers = Tiers()
    yield tiers
    await tiers.store.close()


async def read(store: Store, key: Key, offset: int = 0, limit: int | None = None) -> bytes:
    async with closing(store.read(key, offset, limit)) as chunks:
        return await gather(chunks, 1 << 30)


async def keep(store: Store, *values: bytes) -> list[Digest]:
    for value in values:
        await store.put(of(value), value)
    return [of(value) for value in values]


async def test_what_is_in_neither_tier_is_said_in_the_known_words(tiers: Tiers) -> None:
    key = of(SMALL)
    text = (
        f"Object {key.hash}-{key.size_bytes} not found in either fast or slow store. If using multiple workers, "
        "ensure all workers share the same CAS storage path."
    )
    for ask in (
        read(tiers.store, key),
        tiers.store.get(key),
        tiers.store.localize([key]),
        read(tiers.store, key, 3, 0),
    ):
        with pytest.raises(Missing) as caught:
            await ask
        assert caught.value.message == text
        assert caught.value.missing == (key.subject,)
        assert caught.value.code is Code.NOT_FOUND


@pytest.mark.parametrize("data", [SMALL, LARGE])
async def test_a_read_from_slow_fills_fast(tiers: Tiers, data: bytes) -> None:
    (key,) = await keep(tiers.slow, data)
    assert await read(tiers.store, key) == data
    await tiers.idle()
    assert await read(tiers.store, key) == data
    assert await tiers.store.get(key) == data
    assert tiers.slow.reads == 1


@pytest.mark.parametrize("data", [SMALL, LARGE])
async def test_a_get_from_slow_fills_fast(tiers: Tiers, data: bytes) -> None:
    (key,) = await keep(tiers.slow, data)
    assert await tiers.store.get(key) == data
    await tiers.idle()
    assert await tiers.fast.has(key)
    assert tiers.slow.reads == 1


@pytest.mark.parametrize("data", [SMALL, LARGE])
async def test_a_range_read_fills_fast_with_the_whole_value(tiers: Tiers, data: bytes) -> None:
    (key,) = await keep(tiers.slow, data)
    assert await read(tiers.store, key, 2, 5) == data[2:7]
    await tiers.idle()
    assert await Memory.get(tiers.fast, key) == data
    assert tiers.slow.reads == 1


async def test_presence_is_asked_of_slow_alone(tiers: Tiers) -> None:
    (only_fast,) = await keep(tiers.fast, SMALL)
    (only_slow,) = await keep(tiers.slow, LARGE)
    assert await tiers.store.sizes([only_fast, only_slow]) == [None, len(LARGE)]
    assert tiers.fast.looked_up == 0
    assert await tiers.store.get(only_fast) == SMALL


async def test_with_a_noop_for_slow_the_fast_tier_is_asked(build: Callable[..., Store]) -> None:
    store = build(FastSlowSpec(fast=MemorySpec(), slow=NoopSpec()))
    (key,) = await keep(store, SMALL)
    assert await store.sizes([key]) == [len(SMALL)]
    assert await store.get(key) == SMALL
    await store.write(of(LARGE), once(LARGE))
    assert await read(store, of(LARGE)) == LARGE


async def test_with_a_noop_for_fast_slow_does_all(build: Callable[..., Store]) -> None:
    store = build(FastSlowSpec(fast=NoopSpec(), slow=MemorySpec()))
    await store.write(of(LARGE), once(LARGE))
    assert await read(store, of(LARGE), 5, 10) == LARGE[5:15]
    assert await store.get(of(LARGE)) == LARGE


async def test_with_two_noops_a_stream_is_pulled_to_its_end(build: Callable[..., Store]) -> None:
    store = build(FastSlowSpec(fast=NoopSpec(), slow=NoopSpec()))
    chunks = once(SMALL)
    await store.write(of(SMALL), chunks)
    assert await anext(chunks, None) is None


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("data", [SMALL, LARGE])
async def test_the_direction_of_fast_says_what_goes_there(direction: Direction, data: bytes, tmp_path: Path) -> None:
    key = of(data)
    (tmp_path / "file").write_bytes(data)
    for way in ("write", "put", "write_file"):
        tiers = Tiers(fast_direction=direction)
        match way:
            case "write":
                await tiers.store.write(key, once(data))
            case "put":
                await tiers.store.put(key, data)
            case _:
                await tiers.store.write_file(key, tmp_path / "file")
        assert await tiers.slow.has(key)
        assert await tiers.fast.has(key) == (direction in (Direction.BOTH, Direction.UPDATE)), way
    tiers = Tiers(fast_direction=direction)
    await keep(tiers.slow, data)
    assert await read(tiers.store, key) == data
    await tiers.idle()
    assert await tiers.fast.has(key) == (direction in (Direction.BOTH, Direction.GET))


@pytest.mark.parametrize("direction", Direction)
async def test_the_direction_of_slow_says_what_goes_there(direction: Direction) -> None:
    tiers = Tiers(slow_direction=direction)
    await tiers.store.write(of(LARGE), once(LARGE))
    await tiers.store.put(of(SMALL), SMALL)
    for key in (of(LARGE), of(SMALL)):
        assert await tiers.fast.has(key)
        assert await tiers.slow.has(key) == (direction in (Direction.BOTH, Direction.UPDATE))


async def test_blobs_of_the_threshold_and_more_are_read_around_fast() -> None:
    tiers = Tiers(bypass_dedup_threshold_bytes=len(LARGE))
    (large, small) = await keep(tiers.slow, LARGE, SMALL)
    assert await read(tiers.store, large) == LARGE
    assert await read(tiers.store, small) == SMALL
    await tiers.idle()
    assert not await tiers.fast.has(large)
    assert await tiers.fast.has(small)


@pytest.mark.parametrize("data", [SMALL, LARGE])
async def test_many_readers_of_one_value_read_slow_once(tiers: Tiers, data: bytes) -> None:
    (key,) = await keep(tiers.slow, data)
    asked = [*(read(tiers.store, key) for _ in range(10)), *(tiers.store.get(key) for _ in range(10))]
    assert await asyncio.gather(*asked, tiers.store.localize([key, key])) == [data] * 20 + [None]
    assert tiers.slow.reads == 1


async def test_when_the_first_reader_goes_away_the_others_are_still_served(tiers: Tiers) -> None:
    (key,) = await keep(tiers.slow, LARGE)
    tiers.slow.go.clear()
    first = asyncio.create_task(read(tiers.store, key))
    others = [asyncio.create_task(read(tiers.store, key)) for _ in range(3)]
    await tiers.slow.was_read.wait()
    first.cancel()
    await asyncio.wait({first})
    tiers.slow.go.set()
    assert await asyncio.gather(*others) == [LARGE] * 3
    assert tiers.slow.reads == 1


async def test_a_fill_that_nobody_wants_any_more_ends(tiers: Tiers) -> None:
    (key,) = await keep(tiers.slow, LARGE)
    async with closing(tiers.store.read(key)) as chunks:
        await anext(chunks)
    assert len(tiers.store._filling) == 0
    assert not await tiers.fast.has(key)
    assert tiers.slow.bytes_read < len(LARGE)


@pytest.mark.parametrize("data", [SMALL, LARGE])
async def test_when_slow_fails_the_next_reader_takes_over(tiers: Tiers, data: bytes) -> None:
    (key,) = await keep(tiers.slow, data)
    tiers.slow.read_failures = [Error(Code.UNAVAILABLE, "the network is gone")]
    answers = await asyncio.gather(*(read(tiers.store, key) for _ in range(4)), return_exceptions=True)
    assert [str(answer) for answer in answers if isinstance(answer, Error)] == ["the network is gone"]
    assert answers.count(data) == 3
    assert tiers.slow.reads == 2


async def test_a_localize_takes_over_as_well(tiers: Tiers) -> None:
    (key,) = await keep(tiers.slow, LARGE)
    tiers.slow.read_failures = [Error(Code.UNAVAILABLE, "the network is gone")]
    answers = await asyncio.gather(*(tiers.store.localize([key]) for _ in range(3)), return_exceptions=True)
    assert sorted(map(str, answers)) == ["None", "None", "the network is gone"]
    assert await tiers.fast.has(key)


@pytest.mark.parametrize("data", [SMALL, LARGE])
async def test_readers_are_served_by_slow_when_fast_keeps_nothing(tiers: Tiers, data: bytes) -> None:
    (key,) = await keep(tiers.slow, data)
    tiers.fast.write_failure = Error(Code.RESOURCE_EXHAUSTED, "full")
    assert await asyncio.gather(*(read(tiers.store, key) for _ in range(3))) == [data] * 3
    assert await tiers.store.get(key) == data
    assert await read(tiers.store, key, 3, 4) == data[3:7]
    with pytest.raises(Error, match="full"):
        await tiers.store.localize([key])


async def test_a_fast_tier_that_stops_pulling_costs_the_reader_nothing(tiers: Tiers) -> None:
    (key,) = await keep(tiers.slow, LARGE)
    tiers.fast.stops_pulling_after = 1
    assert await read(tiers.store, key) == LARGE


async def test_a_reader_that_stalls_is_cut_off_and_the_value_goes_on(tiers: Tiers) -> None:
    (key,) = await keep(tiers.slow, LARGE)
    filling = Filling(tiers.fast, tiers.slow, patience_seconds=0.01)
    live = Branch()
    fill = filling.start(key, live)
    async with fill.wanted():
        assert await fill.ended(10)
    assert fill.succeeded
    assert not live.complete
    assert await Memory.get(tiers.fast, key) == LARGE
    taken = b"".join([chunk async for chunk in live])
    assert LARGE.startswith(taken)
    assert 0 < len(taken) < len(LARGE)


async def test_a_slow_reader_slows_the_stream_down(tiers: Tiers) -> None:
    (key,) = await keep(tiers.slow, LARGE * 3)
    async with closing(tiers.store.read(key)) as chunks:
        await anext(chunks)
        for _ in range(50):
            await asyncio.sleep(0)
        assert tiers.slow.bytes_read <= 5 * MIB


async def failing(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data
    raise Error(Code.INVALID_ARGUMENT, "not what it says")


async def test_an_upload_that_fails_is_in_neither_tier(tiers: Tiers) -> None:
    with pytest.raises(Error, match="not what it says"):
        await tiers.store.write(of(LARGE), failing(LARGE[: 3 * MIB]))
    assert not await tiers.fast.has(of(LARGE))
    assert not await tiers.slow.has(of(LARGE))


async def test_when_slow_refuses_an_upload_fast_does_not_keep_it(tiers: Tiers, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(LARGE)
    tiers.slow.write_failure = Error(Code.RESOURCE_EXHAUSTED, "full")
    key = of(LARGE)
    for upload in (
        tiers.store.write(key, once(LARGE)),
        tiers.store.put(key, LARGE),
        tiers.store.write_file(key, tmp_path / "file"),
    ):
        with pytest.raises(Error, match="full"):
            await upload
        assert not await tiers.fast.has(key)


async def test_when_fast_refuses_an_upload_it_counts_and_no_older_value_is_read(tiers: Tiers, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"new")
    for upload in (
        lambda: tiers.store.write("key", once(b"new")),
        lambda: tiers.store.put("key", b"new"),
        lambda: tiers.store.write_file("key", tmp_path / "file"),
    ):
        tiers.fast.write_failure = None
        await tiers.store.put("key", b"old")
        tiers.fast.write_failure = Error(Code.RESOURCE_EXHAUSTED, "full")
        await upload()
        assert await tiers.store.get("key") == b"new"


async def test_an_upload_goes_on_when_a_tier_has_enough(tiers: Tiers) -> None:
    tiers.fast.stops_pulling_after = 0
    await tiers.store.write(of(LARGE), once(LARGE))
    assert await tiers.slow.has(of(LARGE))
    other = Tiers()
    other.slow.stops_pulling_after = 0

    async def parts() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(LARGE), 100_000):
            yield LARGE[start : start + 100_000]

    await other.store.write(of(LARGE), parts())
    assert await other.fast.has(of(LARGE))


async def test_an_upload_is_pulled_no_faster_than_the_slower_tier_takes_it(tiers: Tiers) -> None:
    pulled = 0

    async def source() -> AsyncGenerator[bytes, None]:
        nonlocal pulled
        for _ in range(100):
            pulled += 1
            yield bytes(1000)

    class Stalled(Tier):
        async def write(self, key: Key, chunks: Chunks) -> None:
            async for _ in chunks:
                await self.go.wait()

    slow = Stalled()
    slow.go.clear()
    store = FastSlow(tiers.fast, slow, FastSlowSpec(fast=MemorySpec(), slow=MemorySpec()))
    writing = asyncio.create_task(store.write("key", source()))
    for _ in range(500):
        await asyncio.sleep(0)
    assert pulled < 8
    slow.go.set()
    await writing
    assert pulled == 100


async def test_localize_brings_what_is_absent_and_names_all_that_is_missing(tiers: Tiers) -> None:
    values = [number.to_bytes(4, "big") for number in range(1, 100)]
    there = await keep(tiers.slow, *values)
    await keep(tiers.fast, *values[:50])
    gone = [of(b"gone"), of(b"gone as well")]
    with pytest.raises(Missing) as caught:
        await tiers.store.localize([gone[0], *there, gone[1], EMPTY[Function.SHA256], gone[0]])
    assert caught.value.keys == tuple(gone)
    assert caught.value.message.startswith(f"Object {gone[0]} not found in either fast or slow store.")
    assert all([await tiers.fast.has(key) for key in there])
    assert tiers.slow.reads == 49 + 2


async def test_localize_stops_when_fast_is_full(tiers: Tiers) -> None:
    there = await keep(tiers.slow, *(number.to_bytes(4, "big") for number in range(200)))
    tiers.fast.write_failure = Error(Code.RESOURCE_EXHAUSTED, "full")
    with pytest.raises(Error, match="full"):
        await tiers.store.localize(there)
    assert tiers.slow.reads < 200


async def test_a_cancelled_localize_leaves_no_fill(tiers: Tiers) -> None:
    there = await keep(tiers.slow, *(number.to_bytes(4, "big") for number in range(100)))
    tiers.slow.go.clear()
    localizing = asyncio.create_task(tiers.store.localize(there))
    await tiers.slow.was_read.wait()
    localizing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await localizing
    assert len(tiers.store._filling) == 0


async def test_a_read_only_fast_tier_cannot_be_localized_to() -> None:
    tiers = Tiers(fast_direction=Direction.READ_ONLY)
    (key,) = await keep(tiers.slow, SMALL)
    with pytest.raises(Error) as caught:
        await tiers.store.localize([key])
    assert caught.value.code is Code.FAILED_PRECONDITION


async def test_a_worker_links_what_was_localized(build: Callable[..., Store], tmp_path: Path) -> None:
    files = FilesystemSpec(content_path=f"{tmp_path}/content", temp_path=f"{tmp_path}/temp")
    store = build(FastSlowSpec(fast=files, slow=MemorySpec(), fast_direction=Direction.GET))
    assert isinstance(store, FastSlow)
    worker: WorkerStore = store
    keys = await keep(store.children()["slow"], SMALL, LARGE)
    await worker.localize(keys)
    for name, key in zip(("small", "large"), keys, strict=True):
        assert worker.local.link(key, f"{tmp_path}/{name}", executable=name == "large")
    assert (tmp_path / "small").read_bytes() == SMALL
    assert (tmp_path / "large").read_bytes() == LARGE
    assert isinstance(worker.local, Filesystem)


async def test_a_fast_tier_without_files_is_no_local_tier(tiers: Tiers) -> None:
    with pytest.raises(Error) as caught:
        _ = tiers.store.local
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert "filesystem" in caught.value.remedy


async def test_closing_ends_fills(tiers: Tiers) -> None:
    (key,) = await keep(tiers.slow, LARGE)
    tiers.slow.go.clear()
    reading = asyncio.create_task(read(tiers.store, key))
    await tiers.slow.was_read.wait()
    await tiers.store.close()
    assert len(tiers.store._filling) == 0
    reading.cancel()
    await asyncio.wait({reading})


def test_the_children_are_the_tiers(build: Callable[..., Store]) -> None:
    store = build(FastSlowSpec(fast=MemorySpec(), slow=NoopSpec()))
    assert {name: type(child) for name, child in store.children().items()} == {"fast": Memory, "slow": Noop}

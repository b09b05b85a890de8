"""Memory is bounded, and nothing that was accepted is dropped in silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from nlserver.errors import Code, Error
from nlserver.eviction import EvictionPolicy
from nlserver.reapi.digest import of
from nlserver.store import Store
from nlserver.stores.memory import MemorySpec


async def test_the_least_recently_used_go_first(build: Callable[..., Store], clock: Any) -> None:
    store = build(MemorySpec(eviction_policy=EvictionPolicy(max_bytes=301)))
    for number in range(3):
        await store.put(str(number), bytes(100))
    assert await store.sizes(["0"]) == [100]
    await store.put("3", bytes(100))
    assert await store.sizes(["0", "1", "2", "3"]) == [100, None, 100, 100]


async def test_old_values_are_absent(build: Callable[..., Store], clock: Any) -> None:
    store = build(MemorySpec(eviction_policy=EvictionPolicy(max_seconds=10)))
    await store.put("a", b"1")
    await store.put("b", b"2")
    clock.advance(9)
    assert await store.get("a") == b"1"
    clock.advance(9)
    assert await store.sizes(["a", "b"]) == [1, None]


async def test_what_can_never_fit_is_refused_as_soon_as_it_shows(build: Callable[..., Store]) -> None:
    store = build(MemorySpec(eviction_policy=EvictionPolicy(max_bytes=1000)))
    await store.put("kept", b"small")
    pulled = 0

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal pulled
        while True:
            pulled += 100
            yield bytes(100)

    for write in (store.write("large", endless()), store.put("large", bytes(1000))):
        with pytest.raises(Error) as caught:
            await write
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert pulled == 1000
    assert await store.sizes(["kept", "large"]) == [5, None]


async def test_streams_that_come_at_once_share_the_bound(build: Callable[..., Store]) -> None:
    store = build(MemorySpec(eviction_policy=EvictionPolicy(max_bytes=1000)))
    go = asyncio.Event()

    async def stalled() -> AsyncGenerator[bytes, None]:
        yield bytes(600)
        await go.wait()

    first = asyncio.create_task(store.write("first", stalled()))
    await asyncio.sleep(0)
    with pytest.raises(Error) as caught:
        await store.write("second", stalled())
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    go.set()
    await first
    await store.write("second", stalled())
    assert await store.sizes(["first", "second"]) == [None, 600]


async def test_large_values_are_streamed_without_a_copy(build: Callable[..., Store]) -> None:
    store = build(MemorySpec())
    piece = bytes(1 << 20)

    async def stream() -> AsyncGenerator[bytes, None]:
        for _ in range(4):
            yield piece

    await store.write(of(piece * 4), stream())
    assert [chunk is piece async for chunk in store.read(of(piece * 4))] == [True] * 4

"""What a backend has is remembered for a short time, and what it lost is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from nlserver.eviction import UNBOUNDED, EvictionPolicy
from nlserver.reapi.digest import of
from nlserver.store import Key, Missing, Store, Wrapper
from nlserver.stores.existence_cache import ExistenceCache, ExistenceCacheSpec
from nlserver.stores.memory import Memory, MemorySpec
from nlserver.streams import once

BLOBS = [b"blob %d" % number for number in range(20)]
KEYS = [of(data) for data in BLOBS]


class Asked(Wrapper):
    """Counts the keys that it is asked about, and may keep an answer back."""

    def __init__(self, backend: Store) -> None:
        super().__init__(backend)
        self.keys: list[Key] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = asyncio.Event()

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        self.keys += keys
        found = await super().sizes(keys)
        self.asked.set()
        await self.answers.wait()
        return found


@pytest.fixture
async def backend(clock: Any) -> Asked:
    backend = Asked(Memory(UNBOUNDED, clock))
    for key, data in zip(KEYS, BLOBS, strict=True):
        await backend.put(key, data)
    return backend


@pytest.fixture
def store(backend: Asked, clock: Any) -> ExistenceCache:
    return ExistenceCache(backend, UNBOUNDED, clock)


async def test_what_the_backend_has_is_asked_once(store: Store, backend: Asked) -> None:
    sizes = [len(data) for data in BLOBS]
    assert await store.sizes(KEYS) == sizes
    assert await store.sizes([*KEYS, *KEYS]) == sizes * 2
    assert backend.keys == KEYS


async def test_what_the_backend_lacks_is_asked_each_time(store: Store, backend: Asked) -> None:
    for _ in range(2):
        assert await store.sizes([KEYS[0], of(b"absent")]) == [6, None]
    assert backend.keys == [KEYS[0], of(b"absent"), of(b"absent")]


async def test_after_a_minute_the_backend_is_asked_again(store: Store, backend: Asked, clock: Any) -> None:
    await store.sizes(KEYS[:1])
    clock.advance(40)
    # Being asked for does not make an answer any younger.
    await store.sizes(KEYS[:1])
    clock.advance(21)
    await backend.backend.remove(KEYS[0])
    assert await store.sizes(KEYS[:1]) == [None]
    assert len(backend.keys) == 2


async def test_a_policy_may_trust_for_less(backend: Asked, clock: Any) -> None:
    store = ExistenceCache(backend, EvictionPolicy(max_seconds=5), clock)
    await store.sizes(KEYS[:1])
    clock.advance(6)
    await store.sizes(KEYS[:1])
    assert len(backend.keys) == 2


@pytest.mark.parametrize("policy", [EvictionPolicy(max_count=3), EvictionPolicy(max_bytes=4 * 6)])
async def test_a_policy_bounds_what_is_remembered(backend: Asked, clock: Any, policy: EvictionPolicy) -> None:
    store = ExistenceCache(backend, policy, clock)
    await store.sizes(KEYS[:8])
    backend.keys.clear()
    await store.sizes(KEYS[:8])
    assert len(backend.keys) == 5
    assert len(store._sizes) == len(list(store._recency)) == 3


async def test_a_blob_that_a_reader_misses_is_forgotten(store: Store, backend: Asked) -> None:
    await store.sizes(KEYS)
    for key in KEYS[:2]:
        await backend.backend.remove(key)
    with pytest.raises(Missing):
        await store.get(KEYS[0])
    with pytest.raises(Missing):
        await anext(store.read(KEYS[1]))
    assert (await store.sizes(KEYS))[:2] == [None, None]


async def test_what_is_written_or_removed_here_is_known_at_once(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"from a file")
    assert await store.sizes(["key"]) == [None]
    for write, size in (
        (store.put("key", b"longer than before"), 18),
        (store.write("key", once(b"short")), 5),
        (store.write_file("key", tmp_path / "file"), 11),
    ):
        await write
        assert await store.sizes(["key"]) == [size]
    await store.remove("key")
    assert await store.sizes(["key"]) == [None]


async def test_an_answer_from_before_a_change_is_not_remembered(store: Store, backend: Asked) -> None:
    backend.answers.clear()
    asking = asyncio.create_task(store.sizes(KEYS))
    await backend.asked.wait()
    await store.remove(KEYS[3])
    backend.answers.set()
    await asking
    found = await store.sizes(KEYS)
    assert [key for key, size in zip(KEYS, found, strict=True) if size is None] == [KEYS[3]]
    assert backend.keys == [*KEYS, KEYS[3]]


async def test_a_question_that_fails_leaves_nothing(clock: Any) -> None:
    class Away(Store):
        async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
            raise ConnectionError

        def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
            raise ConnectionError

        async def write(self, key: Key, chunks: Any) -> None:
            raise ConnectionError

    store = ExistenceCache(Away(), UNBOUNDED, clock)
    with pytest.raises(ConnectionError):
        await store.sizes(KEYS)
    assert store._asking == store._sizes == {}


def test_a_config_builds_it(build: Callable[..., Store]) -> None:
    spec = ExistenceCacheSpec(backend=MemorySpec(), eviction_policy=EvictionPolicy(max_count=5))
    assert isinstance(build(spec), ExistenceCache)

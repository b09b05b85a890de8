"""What passes a cache_metrics store is counted under its type, and the store can do what its backend can."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from nlserver import metrics
from nlserver.errors import Code, Error
from nlserver.metrics import CacheCount
from nlserver.reapi.digest import of
from nlserver.store import LocalFiles, Missing, Store
from nlserver.stores.cache_metrics import CacheMetricsSpec
from nlserver.stores.filesystem import FilesystemSpec
from nlserver.stores.memory import MemorySpec
from nlserver.stores.noop import Noop, NoopSpec
from nlserver.streams import gather, once

DATA = b"some bytes"


def numbers(kind: str) -> dict[str, int]:
    place = metrics.cache(kind)
    return {which.name.lower(): metrics.counted(place + which) for which in CacheCount}


async def test_hits_misses_and_bytes_are_counted_under_the_type(build: Callable[..., Store]) -> None:
    store = build(CacheMetricsSpec(cache_type="of a test", backend=MemorySpec()))
    digest, absent = of(DATA), of(b"absent")
    await store.put(digest, DATA)
    await store.write("free", once(DATA))
    assert await store.sizes([digest, absent]) == [len(DATA), None]
    assert await gather(store.read(digest, 5), 100) == DATA[5:]
    assert await store.get("free") == DATA
    for look in (store.get(absent), gather(store.read(absent), 100)):
        with pytest.raises(Missing):
            await look
    assert await store.remove("free")
    assert not await store.remove("free")
    expected = {"hits": 3, "misses": 3, "read_bytes": 15, "writes": 2, "written_bytes": 20, "removals": 1}
    assert numbers("of a test") == expected


async def test_a_write_that_fails_is_no_write(build: Callable[..., Store]) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield DATA
        raise Error(Code.ABORTED, "the client went away")

    store = build(CacheMetricsSpec(cache_type="broken", backend=MemorySpec()))
    with pytest.raises(Error, match="went away"):
        await store.write("key", broken())
    assert numbers("broken")["writes"] == 0
    assert await store.sizes(["key"]) == [None]


def test_files_can_still_be_linked_so_that_it_may_be_a_fast_tier(build: Callable[..., Store], tmp_path: Path) -> None:
    files = FilesystemSpec(content_path=f"{tmp_path}/content", temp_path=f"{tmp_path}/temp")
    assert isinstance(build(CacheMetricsSpec(cache_type="files", backend=files)), LocalFiles)
    assert not isinstance(build(CacheMetricsSpec(cache_type="memory", backend=MemorySpec())), LocalFiles)


def test_a_store_that_keeps_nothing_still_tells_so(build: Callable[..., Store]) -> None:
    assert isinstance(build(CacheMetricsSpec(cache_type="nothing", backend=NoopSpec())), Noop)


def test_stores_of_one_type_are_counted_together_and_too_many_types_are_refused() -> None:
    script = """
from nlserver import metrics
places = {metrics.cache(f"type {number}") for number in range(metrics.MOST_CACHES)}
assert len(places) == metrics.MOST_CACHES and metrics.cache("type 3") in places
assert max(places) + len(metrics.CacheCount) == metrics.WIDTH
metrics.cache("one more")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "more than 16 different values of cache_type" in ran.stderr

"""Each key has one of several stores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest, of
from nlserver.sharding import Shards
from nlserver.store import Store
from nlserver.stores.memory import MemorySpec
from nlserver.stores.noop import NoopSpec
from nlserver.stores.shard import ShardSpec, ShareSpec
from nlserver.stores.size_partitioning import SizePartitioningSpec
from nlserver.streams import once


@pytest.fixture
def by_size(build: Callable[..., Store]) -> Store:
    return build(SizePartitioningSpec(size=10, lower_store=MemorySpec(), upper_store=MemorySpec()))


async def test_the_split_size_itself_is_large(by_size: Store) -> None:
    for data in (bytes(9), bytes(10), bytes(11)):
        await by_size.put(of(data), data)
    keys = [of(bytes(size)) for size in (9, 10, 11)]
    assert await by_size.children()["lower_store"].sizes(keys) == [9, None, None]
    assert await by_size.children()["upper_store"].sizes(keys) == [None, 10, 11]
    assert await by_size.sizes([*reversed(keys), of(b"absent")]) == [11, 10, 9, None]


async def test_the_size_is_that_of_the_digest(by_size: Store) -> None:
    await by_size.write(Digest(of(b"x").hash, 10), once(b"x"))
    assert await by_size.children()["upper_store"].get(Digest(of(b"x").hash, 10)) == b"x"


async def test_a_key_without_a_size_is_refused(by_size: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for refused in (
        by_size.sizes(["free"]),
        by_size.get("free"),
        by_size.put("free", b"x"),
        by_size.write("free", once(b"x")),
        by_size.write_file("free", tmp_path / "file"),
        by_size.remove("free"),
    ):
        with pytest.raises(Error, match="'free' is no digest") as caught:
            await refused
        assert caught.value.code is Code.INVALID_ARGUMENT
    with pytest.raises(Error, match="'free' is no digest"):
        by_size.read("free")


async def test_large_blobs_may_go_nowhere(build: Callable[..., Store]) -> None:
    store = build(SizePartitioningSpec(size=10, lower_store=MemorySpec(), upper_store=NoopSpec()))
    await store.put(of(bytes(10)), bytes(10))
    assert await store.sizes([of(bytes(10))]) == [None]


async def test_each_shard_holds_what_is_its_own(build: Callable[..., Store]) -> None:
    shares = tuple(ShareSpec(store=MemorySpec(), weight=weight) for weight in (1, None, 3))
    store = build(ShardSpec(stores=shares))
    shards = Shards([1, 1, 3])
    keys = [*(of(b"%d" % number) for number in range(40)), *(f"key {number}" for number in range(40))]
    for key in keys:
        await store.put(key, b"value")
    assert None not in await store.sizes(keys)
    for number, child in enumerate(store.children().values()):
        held = [size is not None for size in await child.sizes(keys)]
        assert held == [shards.of(key) == number for key in keys]


async def test_an_error_of_one_shard_is_the_answer(build: Callable[..., Store]) -> None:
    class Broken(Store):
        async def sizes(self, keys):
            raise Error(Code.UNAVAILABLE, "the machine is away")

        def read(self, key, offset=0, limit=None):
            raise NotImplementedError

        async def write(self, key, chunks):
            raise NotImplementedError

    from nlserver.stores.shard import Shard

    store = Shard([build(MemorySpec()), Broken()], [1, 1])
    with pytest.raises(Error, match="the machine is away"):
        await store.sizes([of(b"%d" % number) for number in range(40)])

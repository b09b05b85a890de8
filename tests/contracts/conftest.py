"""The stores that keep the contract: to add a kind, write a function here that makes one and decorate it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from nlserver.eviction import EvictionPolicy
from nlserver.reapi.endpoint import EndpointSpec
from nlserver.services import bytestream, capabilities, cas
from nlserver.spec import Site
from nlserver.store import Store, StoreSpec
from nlserver.stores.cache_metrics import CacheMetricsSpec
from nlserver.stores.compression import CompressionSpec, Lz4Spec
from nlserver.stores.dedup import DedupSpec
from nlserver.stores.existence_cache import ExistenceCacheSpec
from nlserver.stores.fast_slow import Direction, FastSlowSpec
from nlserver.stores.filesystem import FilesystemSpec
from nlserver.stores.grpc import GrpcSpec
from nlserver.stores.memory import MemorySpec
from nlserver.stores.ref_store import RefStoreSpec
from nlserver.stores.shard import ShardSpec, ShareSpec
from nlserver.stores.size_partitioning import SizePartitioningSpec
from nlserver.stores.verify import VerifySpec


@dataclass(frozen=True)
class Kind:
    """A way to make a store, and what the contract leaves to kinds."""

    name: str
    make: Callable[[Path, AsyncExitStack], Coroutine[Any, Any, Store]]
    free_keys: bool = True
    """Takes string keys, and values that are not what their digest says."""
    in_memory: bool = False
    """Holds values in this process, so that streams through it take memory."""
    removes: bool = True
    """Can forget a value when it is told to."""
    same_sizes: bool = True
    """`sizes` are those of the plain values."""


KINDS: list[Kind] = []


def kind(name: str, **traits: bool) -> Callable[..., Callable[..., Coroutine[Any, Any, Store]]]:
    """Register a maker. It is told a fresh directory and a stack on which it pushes what must be closed."""

    def register(make: Callable[[Path, AsyncExitStack], Coroutine[Any, Any, Store]]) -> Any:
        KINDS.append(Kind(name, make, **traits))
        return make

    return register


@asynccontextmanager
async def running_site(**named: StoreSpec) -> AsyncIterator[Site]:
    """A site that runs what stores spawn, and closes it."""
    tasks: set[asyncio.Task[None]] = set()

    def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> None:
        tasks.add(asyncio.create_task(coroutine, name=name))

    site = Site({"store": dict(named)}, spawn=spawn)
    try:
        yield site
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome
        await site.close()


async def built(spec: StoreSpec, stack: AsyncExitStack, **named: StoreSpec) -> Store:
    """A store from its spec, as an engine builds it."""
    return spec.build(await stack.enter_async_context(running_site(**named)))


def files(path: Path, **keys: Any) -> FilesystemSpec:
    """A filesystem store's spec below a directory."""
    return FilesystemSpec(content_path=f"{path}/content", temp_path=f"{path}/temp", **keys)


@kind("memory", in_memory=True)
async def memory(path: Path, stack: AsyncExitStack) -> Store:
    return await built(MemorySpec(), stack)


@kind("bounded memory", in_memory=True)
async def bounded_memory(path: Path, stack: AsyncExitStack) -> Store:
    return await built(MemorySpec(eviction_policy=EvictionPolicy(max_bytes=1 << 28, max_seconds=3600)), stack)


@kind("filesystem")
async def filesystem(path: Path, stack: AsyncExitStack) -> Store:
    return await built(files(path), stack)


@kind("bounded filesystem")
async def bounded_filesystem(path: Path, stack: AsyncExitStack) -> Store:
    policy = EvictionPolicy(max_bytes=1 << 28, max_seconds=3600, max_count=1000)
    spec = files(path, eviction_policy=policy, evict_page_cache=True, max_concurrent_writes=2)
    return await built(spec, stack)


@kind("compression over memory", in_memory=True, same_sizes=False)
async def compression_over_memory(path: Path, stack: AsyncExitStack) -> Store:
    algorithm = Lz4Spec(block_size=1000, max_decode_block_size=None)
    return await built(CompressionSpec(backend=MemorySpec(), compression_algorithm=algorithm), stack)


@kind("compression over filesystem", same_sizes=False)
async def compression_over_filesystem(path: Path, stack: AsyncExitStack) -> Store:
    return await built(CompressionSpec(backend=files(path), compression_algorithm=Lz4Spec()), stack)


@kind("cache_metrics over filesystem")
async def cache_metrics_over_filesystem(path: Path, stack: AsyncExitStack) -> Store:
    return await built(CacheMetricsSpec(cache_type="contract", backend=files(path)), stack)


@kind("verify over memory", free_keys=False, in_memory=True)
async def verify_over_memory(path: Path, stack: AsyncExitStack) -> Store:
    return await built(VerifySpec(backend=MemorySpec(), verify_size=True, verify_hash=True), stack)


@kind("verify over filesystem", free_keys=False)
async def verify_over_filesystem(path: Path, stack: AsyncExitStack) -> Store:
    return await built(VerifySpec(backend=files(path), verify_size=True), stack)


@kind("fast memory, slow filesystem", in_memory=True)
async def fast_memory_slow_filesystem(path: Path, stack: AsyncExitStack) -> Store:
    return await built(FastSlowSpec(fast=MemorySpec(), slow=files(path)), stack)


@kind("fast filesystem, slow filesystem")
async def fast_filesystem_slow_filesystem(path: Path, stack: AsyncExitStack) -> Store:
    return await built(FastSlowSpec(fast=files(path / "fast"), slow=files(path / "slow")), stack)


@kind("fast filled by reads", in_memory=True)
async def fast_filled_by_reads(path: Path, stack: AsyncExitStack) -> Store:
    spec = FastSlowSpec(fast=MemorySpec(), slow=files(path), fast_direction=Direction.UPDATE)
    return await built(spec, stack)


@kind("fast that keeps next to nothing", in_memory=True)
async def fast_that_keeps_next_to_nothing(path: Path, stack: AsyncExitStack) -> Store:
    tiny = MemorySpec(eviction_policy=EvictionPolicy(max_bytes=10))
    return await built(FastSlowSpec(fast=tiny, slow=files(path)), stack)


@kind("reference to compression", same_sizes=False)
async def reference_to_compression(path: Path, stack: AsyncExitStack) -> Store:
    target = CompressionSpec(backend=files(path), compression_algorithm=Lz4Spec())
    return await built(RefStoreSpec(name="TARGET"), stack, TARGET=target)


@kind("size_partitioning", free_keys=False)
async def size_partitioning(path: Path, stack: AsyncExitStack) -> Store:
    spec = SizePartitioningSpec(size=100_000, lower_store=MemorySpec(), upper_store=files(path))
    return await built(spec, stack)


@kind("shards", in_memory=True)
async def shards(path: Path, stack: AsyncExitStack) -> Store:
    shares = [(MemorySpec(), 1), (files(path / "a"), 3), (files(path / "b"), None)]
    return await built(ShardSpec(stores=tuple(ShareSpec(store=s, weight=w) for s, w in shares)), stack)


@kind("existence cache over filesystem")
async def existence_cache_over_filesystem(path: Path, stack: AsyncExitStack) -> Store:
    return await built(ExistenceCacheSpec(backend=files(path)), stack)


@kind("existence cache that remembers little over compression", same_sizes=False)
async def existence_cache_over_compression(path: Path, stack: AsyncExitStack) -> Store:
    backend = CompressionSpec(backend=files(path), compression_algorithm=Lz4Spec())
    return await built(ExistenceCacheSpec(backend=backend, eviction_policy=EvictionPolicy(max_count=2)), stack)


@kind("dedup over filesystem")
async def dedup_over_filesystem(path: Path, stack: AsyncExitStack) -> Store:
    return await built(DedupSpec(index_store=files(path / "index"), content_store=files(path / "content")), stack)


@kind("dedup of small chunks over memory", in_memory=True)
async def dedup_of_small_chunks(path: Path, stack: AsyncExitStack) -> Store:
    sizes = {"min_size": 64, "normal_size": 1024, "max_size": 4096, "max_concurrent_fetch_per_get": 1}
    return await built(DedupSpec(index_store=MemorySpec(), content_store=MemorySpec(), **sizes), stack)


async def served(store: Store, stack: AsyncExitStack) -> EndpointSpec:
    """Where a store is served as a CAS, by this process's own services."""
    site = Site({"store": {"CAS": _Given(store)}})
    stack.push_async_callback(site.close)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 8 << 20)])
    for service in (
        cas.build([cas.CasSpec(cas_store="CAS")], site),
        bytestream.build([bytestream.ByteStreamSpec(cas_store="CAS")], site),
        capabilities.build([], site, read_only=frozenset()),
    ):
        server.add_generic_rpc_handlers(tuple(service.handlers()))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, 0)
    return EndpointSpec(address=f"grpc://127.0.0.1:{port}")


@dataclass(frozen=True)
class _Given:
    """Stands where a config names a store: the one that is there."""

    store: Store

    def build(self, site: Site) -> Store:
        return self.store


@kind("grpc to memory", free_keys=False, in_memory=True, removes=False)
async def grpc_to_memory(path: Path, stack: AsyncExitStack) -> Store:
    endpoint = await served(await built(MemorySpec(), stack), stack)
    return await built(GrpcSpec(endpoints=(endpoint,), store_type="cas"), stack)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind_of_store(request: pytest.FixtureRequest) -> Kind:
    """Each kind in turn."""
    found: Kind = request.param
    return found


@pytest.fixture
async def store(kind_of_store: Kind, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store of the kind."""
    async with AsyncExitStack() as stack:
        yield await kind_of_store.make(tmp_path, stack)

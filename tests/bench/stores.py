"""What the stores carry: `python tests/bench/stores.py [DIRECTORY]` prints operations and megabytes a second."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from nlserver.eviction import EvictionPolicy
from nlserver.reapi.digest import Digest, of
from nlserver.spec import Site
from nlserver.store import Store, StoreSpec
from nlserver.stores.compression import CompressionSpec, Lz4Spec
from nlserver.stores.fast_slow import FastSlowSpec
from nlserver.stores.filesystem import FilesystemSpec
from nlserver.stores.memory import MemorySpec
from nlserver.streams import closing, drain

MIB = 1 << 20
SMALL = 1024
COUNT = 2000
AT_ONCE = 64
LARGE = 64 * MIB


async def stream(piece: bytes) -> AsyncGenerator[bytes, None]:
    for _ in range(LARGE // len(piece)):
        yield piece


async def many(work: Callable[[int], Awaitable[object]], count: int) -> float:
    """Operations a second, AT_ONCE at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - start)


async def measure(name: str, store: Store) -> None:
    blobs = [(of(data), data) for data in (number.to_bytes(4, "big") * (SMALL // 4) for number in range(COUNT))]
    keys: list[Digest] = [key for key, _ in blobs]
    puts = await many(lambda n: store.put(*blobs[n]), COUNT)
    gets = await many(lambda n: store.get(keys[n]), COUNT)
    start = time.perf_counter()
    for _ in range(10):
        await store.sizes(keys)
    sizes = 10 * COUNT / (time.perf_counter() - start)
    piece = os.urandom(MIB // 2) + bytes(MIB // 2)
    large = Digest("ab" * 32, LARGE)
    start = time.perf_counter()
    await store.write(large, stream(piece))
    into = LARGE / MIB / (time.perf_counter() - start)
    start = time.perf_counter()
    async with closing(store.read(large)) as chunks:
        assert await drain(chunks) == LARGE
    out = LARGE / MIB / (time.perf_counter() - start)
    print(f"{name:<28} {puts:>9.0f} {gets:>9.0f} {sizes:>10.0f} {into:>9.0f} {out:>9.0f}")


async def main(directory: str) -> None:
    def files(name: str, policy: EvictionPolicy | None = None) -> FilesystemSpec:
        path = f"{directory}/{name}"
        return FilesystemSpec(content_path=f"{path}/content", temp_path=f"{path}/temp", eviction_policy=policy)

    policy = EvictionPolicy(max_bytes=10**10)
    kinds: dict[str, StoreSpec] = {
        "memory": MemorySpec(),
        "filesystem": files("plain"),
        "filesystem, bounded": files("bounded", policy),
        "compression over filesystem": CompressionSpec(backend=files("lz4"), compression_algorithm=Lz4Spec()),
        "memory before filesystem": FastSlowSpec(fast=MemorySpec(), slow=files("slow", policy)),
    }
    print(f"{'':<28} {'put/s':>9} {'get/s':>9} {'sizes/s':>10} {'in MB/s':>9} {'out MB/s':>9}")
    for name, spec in kinds.items():
        tasks: list[asyncio.Task[None]] = []
        site = Site(spawn=lambda coroutine, name, tasks=tasks: tasks.append(asyncio.create_task(coroutine)))
        await measure(name, spec.build(site))
        for task in tasks:
            task.cancel()
        await site.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as temporary:
        asyncio.run(main(temporary))

"""A store of a million small blobs: how soon it serves, and whether counting and eviction stop service.

.venv/bin/python tests/bench/million.py [BLOBS]
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc
import servers
import uvloop
from finding import figure, memory_mib, note, show
from nlserver.proto import remote_execution_pb2 as rx

from nlctl.bench.startup import fill

_CAS: Final = "/build.bazel.remote.execution.v2.ContentAddressableStorage"
_ASKED: Final = 100
_SECONDS: Final = 15.0
_EVICTING_SECONDS: Final = 45.0
"""Longer than counting takes, before which nothing is evicted."""
_EVERY: Final = 0.01
_REPEATS: Final = 3


def digest(number: int) -> rx.Digest:
    """The blob of this number, as `fill` makes it."""
    data = number.to_bytes(16, "big")
    return rx.Digest(hash=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


async def times_of(call: Callable[[], Awaitable[object]], seconds: float) -> list[float]:
    """Milliseconds of calls that are due every 10 ms, whatever became of those before."""
    begun, took = time.perf_counter(), []

    async def one(due: float) -> None:
        await call()
        took.append((time.perf_counter() - due) * 1000)

    async with asyncio.TaskGroup() as calls:
        for number in range(int(seconds / _EVERY)):
            due = begun + number * _EVERY
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            calls.create_task(one(due))
    return sorted(took)


async def serve(folder: Path, blobs: int) -> None:
    """Questions from the first moment on, while the server counts; then while writes make it evict."""
    with servers.cas(folder) as server:
        async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
            find: Any = channel.unary_unary(f"{_CAS}/FindMissingBlobs")
            some = [digest(number * (blobs // _ASKED)) for number in range(_ASKED)]
            request = rx.FindMissingBlobsRequest(blob_digests=some).SerializeToString()
            assert await find(request) == b""
            took = await times_of(lambda: find(request), _SECONDS)
            show(figure(f"FindMissing of {_ASKED:,} among {blobs:,}, while they are counted: median", took, "ms"))
            show(figure("the same, 99 of 100 calls", [_percentile(took, 0.99)], "ms"))
            show(figure(f"server with {blobs:,} blobs: PSS", [memory_mib(server.pid)], "MiB"))


async def evict(folder: Path, blobs: int) -> None:
    """A server whose limit is a tenth below what is there."""
    config = (servers.ROOT / "templates/cas.json5").read_text().replace("max_bytes", "max_count", 1)
    environment = {"CAS_LISTEN": "127.0.0.1:0", "CAS_SIZE": str(blobs * 9 // 10)}
    with servers.nlserver("evicting", folder, config, environment=environment) as server:
        async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
            find: Any = channel.unary_unary(f"{_CAS}/FindMissingBlobs")
            update: Any = channel.unary_unary(f"{_CAS}/BatchUpdateBlobs")
            request = rx.FindMissingBlobsRequest(blob_digests=[digest(0)]).SerializeToString()
            numbers = itertools.count(blobs)

            async def write() -> None:
                data = os.urandom(64) + next(numbers).to_bytes(8, "big")
                name = rx.Digest(hash=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
                entry = rx.BatchUpdateBlobsRequest.Request(digest=name, data=data)
                answer = await update(rx.BatchUpdateBlobsRequest(requests=[entry]).SerializeToString())
                assert not rx.BatchUpdateBlobsResponse.FromString(answer).responses[0].status.code

            reads, writes = await asyncio.gather(
                times_of(lambda: find(request), _EVICTING_SECONDS), times_of(write, _EVICTING_SECONDS)
            )
            left = len(os.listdir(folder / "cas/content/d"))
            show(figure(f"blobs left of {blobs:,} where {blobs * 9 // 10:,} may be", [float(left)], "blobs"))
            show(figure("FindMissing of 1 while blobs are evicted: median", reads, "ms"))
            show(figure("the same, 99 of 100 calls", [_percentile(reads, 0.99)], "ms"))
            show(figure("a write of 72 bytes while blobs are evicted: median", writes, "ms"))
            show(figure("the same, 99 of 100 calls", [_percentile(writes, 0.99)], "ms"))


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def starts(folder: Path) -> list[float]:
    """Seconds from the start of the process to its being ready."""
    took = []
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        with servers.cas(folder):
            took.append(time.perf_counter() - begun)
    return took


def main(blobs: int = 1_000_000) -> None:
    """All of it on one store."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "cas-server"
        note(f"making {blobs:,} blobs")
        fill(folder / "cas/content/d", blobs)
        show(figure(f"nlserver ready on {blobs:,} blobs", starts(folder), "s", most=1.0))
        uvloop.run(both(folder, blobs))


async def both(folder: Path, blobs: int) -> None:
    """One event loop for all gRPC."""
    note("serving")
    await serve(folder, blobs)
    note("evicting")
    await evict(folder, blobs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

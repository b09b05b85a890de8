"""How fast the cache services are: a server process, and a client that spares itself parsing.

    python tests/bench/cache_services.py [--stack memory|filesystem|lz4|tiers] [--large] [--seconds 2] [--profile]

Each figure is the best of three rounds, beside what gRPC alone does in the same run. `--large` leaves out the small
calls; `--profile` prints where the server spent its time.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import hashlib
import multiprocessing
import os
import pstats
import random
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from multiprocessing.connection import Connection
from typing import Any, Final

import grpc
import uvloop
from nlserver import grpc_environment
from nlserver.eviction import EvictionPolicy
from nlserver.proto import bytestream_pb2 as bs
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi import codec, names, wire
from nlserver.reapi.digest import Digest, of
from nlserver.reapi.names import Compressor
from nlserver.service import Service
from nlserver.services import bytestream, cas
from nlserver.spec import Site
from nlserver.store import StoreSpec
from nlserver.stores.compression import CompressionSpec, Lz4Spec
from nlserver.stores.fast_slow import FastSlowSpec
from nlserver.stores.filesystem import FilesystemSpec
from nlserver.stores.memory import MemorySpec
from nlserver.stores.verify import VerifySpec

_CAS: Final = "/build.bazel.remote.execution.v2.ContentAddressableStorage/"
_STREAM: Final = "/google.bytestream.ByteStream/"
_AT_ONCE: Final = 32
_MIB: Final = 1 << 20
_LARGE: Final = 64 << 20
_OPTIONS: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
Call = Callable[[], Awaitable[object]]


def serve(ready: Connection, stack: str, profile: bool) -> None:
    profiler = cProfile.Profile() if profile else None
    if profiler:
        profiler.enable()
    with tempfile.TemporaryDirectory() as scratch:
        uvloop.run(_serve(ready, _store(stack, scratch)))
    if profiler:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


def _store(stack: str, scratch: str) -> StoreSpec:
    limit = EvictionPolicy(max_bytes=1 << 30)

    def files(name: str) -> StoreSpec:
        paths = {"content_path": f"{scratch}/{name}/content", "temp_path": f"{scratch}/{name}/temp"}
        return FilesystemSpec(**paths, eviction_policy=limit)

    match stack:
        case "memory":
            return MemorySpec(eviction_policy=limit)
        case "filesystem":
            return files("all")
        case "lz4":
            return CompressionSpec(backend=files("all"), compression_algorithm=Lz4Spec())
    slow = CompressionSpec(backend=files("slow"), compression_algorithm=Lz4Spec())
    return VerifySpec(backend=FastSlowSpec(fast=files("fast"), slow=slow), verify_size=True, verify_hash=True)


async def _serve(ready: Connection, store: StoreSpec) -> None:
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
        tasks.add(asyncio.create_task(work, name=name))

    site = Site({"store": {"CAS": store}}, spawn=spawn)
    compressing = frozenset(("",))
    services: list[Service] = [
        cas.build([cas.CasSpec(cas_store="CAS")], site, compressing=compressing),
        bytestream.build([bytestream.ByteStreamSpec(cas_store="CAS")], site, compressing=compressing),
    ]
    server = grpc.aio.server(options=_OPTIONS)
    for service in services:
        server.add_generic_rpc_handlers(service.handlers())
    server.add_generic_rpc_handlers([bare()])
    ready.send(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await asyncio.to_thread(ready.recv)
    await server.stop(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await site.close()


def bare() -> grpc.GenericRpcHandler:
    """What gRPC itself costs, for comparison."""

    async def echo(request: bytes, context: object) -> bytes:
        return request

    async def sink(requests: AsyncIterator[bytes], context: object) -> bytes:
        async for _ in requests:
            pass
        return b""

    async def pour(request: bytes, context: grpc.aio.ServicerContext) -> None:
        message = bytes(1 << 20)
        for _ in range(_LARGE >> 20):
            await context.write(message)

    methods = {
        "echo": grpc.unary_unary_rpc_method_handler(echo),
        "sink": grpc.stream_unary_rpc_method_handler(sink),
        "pour": grpc.unary_stream_rpc_method_handler(pour),
    }
    return grpc.method_handlers_generic_handler("bare", methods)


class Client:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.find = channel.unary_unary(_CAS + "FindMissingBlobs")
        self.update = channel.unary_unary(_CAS + "BatchUpdateBlobs")
        self.read_batch = channel.unary_unary(_CAS + "BatchReadBlobs")
        self.read = channel.unary_stream(_STREAM + "Read")
        self.write = channel.stream_unary(_STREAM + "Write")
        self.echo = channel.unary_unary("/bare/echo")
        self.sink = channel.stream_unary("/bare/sink")
        self._pour = channel.unary_stream("/bare/pour")
        head = os.urandom(_LARGE - _MIB)
        self._hashed = hashlib.sha256(head)
        self._head = [write_request("", at, head[at : at + _MIB]) for at in range(0, len(head), _MIB)]

    async def download(self, digest: Digest, compressor: Compressor = Compressor.IDENTITY) -> None:
        request = bs.ReadRequest(resource_name=names.read_name("", digest, compressor)).SerializeToString()
        total = 0
        async for message in self.read(request):
            total += len(message)
        assert total >= digest.size_bytes or compressor is not Compressor.IDENTITY

    async def pour(self) -> None:
        async for _ in self._pour(b""):
            pass

    async def fresh_upload(self) -> None:
        """Upload 64 MiB that the server has not seen: only the last of them is made for it."""
        tail, hashed = os.urandom(_MIB), self._hashed.copy()
        hashed.update(tail)
        name = f"uploads/{uuid.uuid4()}/blobs/{hashed.hexdigest()}/{_LARGE}"
        end = wire.write_request(b"", _LARGE - _MIB, tail, finish=True)
        await self.write(iter([write_request(name, 0, b""), *self._head, end]))


def write_request(name: str, offset: int, data: bytes) -> bytes:
    return wire.write_request(name.encode(), offset, data, finish=False)


def upload_of(digest: Digest, data: bytes, compressor: Compressor = Compressor.IDENTITY) -> Iterator[bytes]:
    """All messages of an upload; `data` is what is sent."""
    name = names.write_name("", str(uuid.uuid4()), digest, compressor).encode()
    for at in range(0, len(data), _MIB):
        chunk = data[at : at + _MIB]
        yield wire.write_request(name, at, chunk, finish=at + len(chunk) == len(data))


def find_request(count: int) -> bytes:
    digests = [rx.Digest(hash=f"{n:064x}", size_bytes=n) for n in range(1, count + 1)]
    return rx.FindMissingBlobsRequest(blob_digests=digests).SerializeToString()


def fresh_batch() -> tuple[bytes, bytes]:
    blobs = [os.urandom(1024) for _ in range(100)]
    digests = [rx.Digest(hash=of(blob).hash, size_bytes=1024) for blob in blobs]
    entry = rx.BatchUpdateBlobsRequest.Request
    update = rx.BatchUpdateBlobsRequest(requests=[entry(digest=d, data=b) for d, b in zip(digests, blobs, strict=True)])
    return update.SerializeToString(), rx.BatchReadBlobsRequest(digests=digests).SerializeToString()


def server_seconds(pid: int) -> float:
    """CPU time of the server so far: it tells more than the rate where others use the machine too."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Meter:
    """Calls as fast as they go, in three rounds of so many seconds, and prints the best."""

    def __init__(self, pid: int, seconds: float) -> None:
        self._pid = pid
        self._seconds = seconds
        print(f"{'':34} {'rate':>16} {'server CPU':>16}")

    async def calls(self, name: str, call: Call, share: float = 1) -> None:
        rounds = [await self._round(call, _AT_ONCE, self._seconds * share) for _ in range(3)]
        rate, cost = max(rounds)[0], min(cost for _, cost in rounds)
        print(f"{name:34} {rate:10,.0f} /s    {cost * 1e6:10,.0f} us a call")

    async def megabytes(self, name: str, call: Call) -> None:
        rounds = [await self._round(call, 2, self._seconds) for _ in range(3)]
        rate, cost = max(rounds)[0], min(cost for _, cost in rounds)
        mebibytes = _LARGE >> 20
        print(f"{name:34} {rate * _LARGE / 1e6:10,.0f} MB/s  {cost / mebibytes * 1e6:10,.0f} us a MiB")

    async def _round(self, call: Call, at_once: int, seconds: float) -> tuple[float, float]:
        done, spent, start = 0, server_seconds(self._pid), time.perf_counter()

        async def work() -> None:
            nonlocal done
            while time.perf_counter() - start < seconds:
                await call()
                done += 1

        await asyncio.gather(*(work() for _ in range(at_once)))
        return done / (time.perf_counter() - start), (server_seconds(self._pid) - spent) / done


async def measure_small(client: Client, meter: Meter) -> None:
    one, many = find_request(1), find_request(2000)
    await meter.calls("bare gRPC, 100 bytes", lambda: client.echo(one))
    await meter.calls("FindMissing, 1 digest", lambda: client.find(one))
    await meter.calls("FindMissing, 2000 missing digests", lambda: client.find(many))
    batches = iter([fresh_batch()[0] for _ in range(500)])
    update, wanted = fresh_batch()
    await client.update(update)
    await meter.calls("BatchUpdate, 100 x 1 KiB new", lambda: client.update(next(batches)), 0.1)
    await meter.calls("BatchUpdate, 100 x 1 KiB present", lambda: client.update(update))
    await meter.calls("BatchRead, 100 x 1 KiB", lambda: client.read_batch(wanted))
    small = os.urandom(1024)
    requests = list(upload_of(of(small), small))
    await meter.calls("Write, 1 KiB", lambda: client.write(iter(requests)))
    await meter.calls("Read, 1 KiB", lambda: client.download(of(small)))


async def measure_large(client: Client, meter: Meter) -> None:
    noise, text = os.urandom(_LARGE), easy(_LARGE)
    zeros = [bytes(_MIB)] * (_LARGE // _MIB)
    await meter.megabytes("bare gRPC in, 64 MiB", lambda: client.sink(iter(zeros)))
    await meter.megabytes("Write, 64 MiB new", client.fresh_upload)
    await meter.megabytes("bare gRPC out, 64 MiB", client.pour)
    for name, data in (("noise", noise), ("text", text)):
        digest = of(data)
        await client.write(upload_of(digest, data))
        await meter.megabytes(f"Read, 64 MiB of {name}", lambda digest=digest: client.download(digest))
    for compressor in codec.SERVED:
        packed = codec.compress(text, compressor)
        await meter.megabytes(
            f"Read, 64 MiB of text by {compressor}", lambda c=compressor: client.download(of(text), c)
        )
        print(f"{'':34} {len(packed) / len(text):10.2f} of the bytes")


def easy(size: int) -> bytes:
    """Bytes that compress about as well as programs do."""
    words = [os.urandom(random.randrange(3, 30)) for _ in range(40_000)]
    return b"".join(random.choices(words, k=size // 14))[:size].ljust(size, b" ")


async def measure(port: int, meter: Meter, *, small: bool) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS) as channel:
        client = Client(channel)
        if small:
            await measure_small(client, meter)
        await measure_large(client, meter)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stack", choices=("memory", "filesystem", "lz4", "tiers"), default="memory")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args()
    grpc_environment.prepare(os.environ)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there, chosen.stack, chosen.profile))
    server.start()
    uvloop.run(measure(here.recv(), Meter(server.pid or 0, chosen.seconds), small=not chosen.large))
    here.send(None)
    server.join()


if __name__ == "__main__":
    main()

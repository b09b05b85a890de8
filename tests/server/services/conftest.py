"""A gRPC server on a free port with the cache services on stores that tests can look into, and plain stubs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.rpc import status_pb2
from nlserver.dispatch.properties import PropertyKind
from nlserver.proto import (
    admin_pb2,
    admin_pb2_grpc,
    bytestream_pb2_grpc,
    remote_execution_pb2,
    remote_execution_pb2_grpc,
    worker_api_pb2,
    worker_api_pb2_grpc,
)
from nlserver.reapi.digest import Digest, Function, is_empty, of
from nlserver.schedulers.simple import SimpleScheduler, SimpleSpec
from nlserver.service import Service
from nlserver.services import ac, admin, bytestream, capabilities, cas, execution, worker_api
from nlserver.spec import Site
from nlserver.store import Key, Missing, Store
from nlserver.streams import Chunks

rx = remote_execution_pb2


class Shelf(Store):
    """A store in a dict that counts its calls, and whose writes stand in `partial` until they are whole."""

    def __init__(self) -> None:
        self.blobs: dict[Key, bytes] = {}
        self.partial: dict[object, bytearray] = {}
        self.asked: list[int] = []
        self.written = 0
        self.read_bytes = 0
        self.open_reads = 0
        self.failure: Exception | None = None

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        self.asked.append(len(keys))
        return [len(self.blobs[key]) if key in self.blobs else None for key in keys]

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        if key not in self.blobs:
            raise Missing(key)
        end = None if limit is None else offset + limit
        data = memoryview(self.blobs[key])[offset:end]
        self.open_reads += 1
        try:
            for start in range(0, len(data), 1 << 20):
                piece = bytes(data[start : start + (1 << 20)])
                self.read_bytes += len(piece)
                yield piece
        finally:
            self.open_reads -= 1

    async def write(self, key: Key, chunks: Chunks) -> None:
        if self.failure is not None:
            raise self.failure
        me = object()
        self.partial[me] = bytearray()
        try:
            async for chunk in chunks:
                self.partial[me] += chunk
            if not (isinstance(key, Digest) and is_empty(key)):
                self.blobs[key] = bytes(self.partial[me])
                self.written += 1
        finally:
            del self.partial[me]

    async def remove(self, key: Key) -> bool:
        return self.blobs.pop(key, None) is not None

    def keep(self, data: bytes, function: Function = Function.SHA256) -> Digest:
        digest = of(data, function)
        self.blobs[digest] = data
        return digest


@dataclass(frozen=True)
class Given:
    """Stands where a config names a store: the one that the test made."""

    thing: object

    def build(self, site: Site) -> object:
        return self.thing


@dataclass
class Cache:
    """A running server: its stores, a channel, and one stub a service."""

    site: Site
    store: Shelf
    results: Shelf
    server: grpc.aio.Server
    channel: grpc.aio.Channel
    address: str
    made: list[Service] = field(default_factory=list)

    @property
    def cas(self) -> remote_execution_pb2_grpc.ContentAddressableStorageStub:
        return remote_execution_pb2_grpc.ContentAddressableStorageStub(self.channel)

    @property
    def ac(self) -> remote_execution_pb2_grpc.ActionCacheStub:
        return remote_execution_pb2_grpc.ActionCacheStub(self.channel)

    @property
    def capabilities(self) -> remote_execution_pb2_grpc.CapabilitiesStub:
        return remote_execution_pb2_grpc.CapabilitiesStub(self.channel)

    @property
    def bytestream(self) -> bytestream_pb2_grpc.ByteStreamStub:
        return bytestream_pb2_grpc.ByteStreamStub(self.channel)

    @staticmethod
    def message(digest: Digest) -> remote_execution_pb2.Digest:
        return rx.Digest(hash=digest.hash, size_bytes=digest.size_bytes)

    @staticmethod
    def noise(size: int, seed: int = 0) -> bytes:
        """Bytes that look random and are the same in each run."""
        return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)

    @staticmethod
    async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Give the loop turns until this callable says yes."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what happens on the other side sets no event here
                await asyncio.sleep(0.001)

    @staticmethod
    @contextmanager
    def refuses(code: grpc.StatusCode, *words: str) -> Iterator[None]:
        """The call inside fails with this code and these words, and no Python shows through."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            yield
        text = caught.value.details() or ""
        assert caught.value.code() is code, text
        for word in words:
            assert word in text
        for trace in ("Traceback", "Error(", "<class", "nlserver", "Exception"):
            assert trace not in text


_LARGE = [("grpc.max_receive_message_length", 8 << 20), ("grpc.max_send_message_length", -1)]


@pytest.fixture
def store() -> Shelf:
    return Shelf()


@pytest.fixture
def site(store: Shelf) -> Site:
    return Site({"store": {"CAS": Given(store), "AC": Given(Shelf()), "INDEX": Given(Shelf())}})


@pytest.fixture
async def cache(site: Site, store: Shelf) -> AsyncIterator[Cache]:
    """All four services for the instances "" and "a/b"; "packed", whose blobs may travel compressed; and "chunked".

    "closed" has an action cache that takes no updates.
    """
    names = ("", "a/b", "packed")
    compressing = frozenset(("packed",))
    chunking = cas.ChunkingSpec(index_store="INDEX", avg_chunk_size_bytes=4096, max_chunk_count=200)
    chunked = cas.CasSpec(instance_name="chunked", cas_store="CAS", experimental_chunking=chunking)
    results = site.named("store", "AC")
    read_only = [ac.AcSpec(instance_name="closed", ac_store="AC", read_only=True)]
    services: list[Service] = [
        cas.build(
            [*(cas.CasSpec(instance_name=name, cas_store="CAS") for name in names), chunked],
            site,
            compressing=compressing,
        ),
        ac.build(
            [*(ac.AcSpec(instance_name=name, ac_store="AC") for name in names), *read_only], site, cas={"": store}
        ),
        bytestream.build(
            [bytestream.ByteStreamSpec(instance_name=name, cas_store="CAS") for name in names],
            site,
            compressing=compressing,
        ),
        capabilities.build([], site, read_only=frozenset(("closed",))),
    ]
    server = grpc.aio.server(options=_LARGE)
    for service in services:
        server.add_generic_rpc_handlers(service.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    address = f"127.0.0.1:{port}"
    async with grpc.aio.insecure_channel(address, options=_LARGE) as channel:
        yield Cache(site, store, results, server, channel, address, services)
    await server.stop(0)
    await site.close()


class HandClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def wall(self) -> float:
        return 1_700_000_000 + self.now

    def monotonic(self) -> float:
        return self.now


class FakeWorker:
    """The worker's side of a ConnectWorker stream, spoken by hand."""

    def __init__(self, call: grpc.aio.StreamStreamCall) -> None:
        self.call = call
        self.id = ""

    async def order(self) -> worker_api_pb2.UpdateForWorker:
        """The next message of the scheduler; fails when the stream ends instead."""
        async with asyncio.timeout(60):
            update = await self.call.read()
        assert update is not grpc.aio.EOF, "the stream ended"
        return update

    async def started(self) -> worker_api_pb2.StartExecute:
        """The next message, which must be an action to run."""
        update = await self.order()
        assert update.WhichOneof("update") == "start_action", update
        return update.start_action

    async def ended(self) -> bool:
        """Whether the stream ends now, after at most one Disconnect."""
        async with asyncio.timeout(60):
            while (update := await self.call.read()) is not grpc.aio.EOF:
                assert update.WhichOneof("update") == "disconnect", update
        return True

    async def say(self, **update: object) -> None:
        await self.call.write(worker_api_pb2.UpdateForScheduler(**update))

    async def executed(self, run: str) -> None:
        await self.say(execute_complete=worker_api_pb2.ExecuteComplete(operation_id=run))

    async def finished(self, run: str, response: rx.ExecuteResponse | None = None) -> None:
        response = response or rx.ExecuteResponse(result=rx.ActionResult(exit_code=0))
        await self.say(execute_result=worker_api_pb2.ExecuteResult(operation_id=run, execute_response=response))

    async def failed(self, run: str, code: int, message: str) -> None:
        error = status_pb2.Status(code=code, message=message)
        await self.say(execute_result=worker_api_pb2.ExecuteResult(operation_id=run, internal_error=error))


class Farm:
    """A running scheduler with its three services, for the instances "" and "a/b"."""

    until = staticmethod(Cache.until)

    def __init__(self, site: Site, clock: HandClock, store: Shelf, channel: grpc.aio.Channel) -> None:
        self.site = site
        self.clock = clock
        self.store = store
        self.channel = channel
        self.scheduler: SimpleScheduler = site.named("scheduler", "MAIN")
        self.execution = remote_execution_pb2_grpc.ExecutionStub(channel)
        self.operations = operations_pb2_grpc.OperationsStub(channel)
        self.worker_api = worker_api_pb2_grpc.WorkerApiStub(channel)
        self.admin = admin_pb2_grpc.AdminStub(channel)

    def wait(self, seconds: float) -> None:
        """Let so much time pass for the scheduler."""
        self.clock.now += seconds
        self.scheduler.tick()

    async def worker(self, name: str = "worker-1", most: int = 0, **properties: str) -> FakeWorker:
        """A worker that has registered."""
        worker = FakeWorker(self.worker_api.ConnectWorker())
        platform = [rx.Platform.Property(name=key, value=value) for key, value in properties.items()]
        await worker.say(
            connect_worker_request=worker_api_pb2.ConnectWorkerRequest(
                worker_id_prefix=name, properties=platform, max_inflight_tasks=most
            )
        )
        worker.id = (await worker.order()).connection_result.worker_id
        return worker

    def action(self, *arguments: str, function: Function = Function.SHA256, **facts: object) -> Digest:
        """The digest of an Action whose blobs are all in the store."""
        command = self.store.keep(rx.Command(arguments=arguments or ("true",)).SerializeToString(), function)
        root = self.store.keep(rx.Directory(directories=[]).SerializeToString() or b"", function)
        action = rx.Action(command_digest=Cache.message(command), input_root_digest=Cache.message(root), **facts)
        return self.store.keep(action.SerializeToString(), function)

    def execute(self, action: Digest, **facts: object) -> grpc.aio.UnaryStreamCall:
        return self.execution.Execute(rx.ExecuteRequest(action_digest=Cache.message(action), **facts))

    @staticmethod
    async def next(call: grpc.aio.UnaryStreamCall) -> tuple[operations_pb2.Operation, rx.ExecuteOperationMetadata]:
        """The next operation of a stream, with its metadata, which must always be there."""
        async with asyncio.timeout(60):
            operation = await call.read()
        assert operation is not grpc.aio.EOF, "the stream ended"
        metadata = rx.ExecuteOperationMetadata()
        assert operation.metadata.Unpack(metadata)
        assert operation.done == (metadata.stage == rx.ExecutionStage.COMPLETED)
        assert not operation.HasField("error")
        return operation, metadata

    async def until_stage(self, call: grpc.aio.UnaryStreamCall, stage: int) -> operations_pb2.Operation:
        """The first operation of a stream that has reached this stage."""
        while True:
            operation, metadata = await self.next(call)
            if metadata.stage == stage:
                return operation

    async def end(self, call: grpc.aio.UnaryStreamCall) -> rx.ExecuteResponse:
        """The response at the end of a stream, after which nothing may come."""
        operation = await self.until_stage(call, rx.ExecutionStage.COMPLETED)
        async with asyncio.timeout(60):
            assert await call.read() is grpc.aio.EOF
        response = rx.ExecuteResponse()
        assert operation.response.Unpack(response)
        return response


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def scheduler_spec() -> SimpleSpec:
    """The scheduler of `farm`; test modules override it."""
    return SimpleSpec(supported_platform_properties={"os": PropertyKind.EXACT, "cpu": PropertyKind.MINIMUM})


@pytest.fixture
async def farm(clock: HandClock, store: Shelf, scheduler_spec: SimpleSpec) -> AsyncIterator[Farm]:
    """Execution, WorkerApi and Admin on one port, on a clock that the test moves."""
    site = Site({"store": {"CAS": Given(store)}, "scheduler": {"MAIN": scheduler_spec}}, clock=clock)

    async def part() -> admin_pb2.Part:
        return admin_pb2.Part(version="1", pid=7)

    instances = [execution.ExecutionSpec(instance_name=name, cas_store="CAS", scheduler="MAIN") for name in ("", "a/b")]
    services: list[Service] = [
        execution.build(instances, site),
        worker_api.build(worker_api.WorkerApiSpec(scheduler="MAIN"), site),
        admin.build(site, part=part, roles={}),
    ]
    server = grpc.aio.server()
    for service in services:
        server.add_generic_rpc_handlers(service.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Farm(site, clock, store, channel)
    site.named("scheduler", "MAIN").stop()
    await server.stop(1)
    await site.close()

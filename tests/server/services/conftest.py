"""A gRPC server on a free port with the cache services on stores that tests can look into, and plain stubs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import pytest
from nlserver.proto import bytestream_pb2_grpc, remote_execution_pb2, remote_execution_pb2_grpc
from nlserver.reapi.digest import Digest, Function, is_empty, of
from nlserver.service import Service
from nlserver.services import ac, bytestream, capabilities, cas
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
    async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
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
    return Site({"store": {"CAS": Given(store), "AC": Given(Shelf())}})


@pytest.fixture
async def cache(site: Site, store: Shelf) -> AsyncIterator[Cache]:
    """All four services for the instances "" and "a/b"; "closed" has an action cache that takes no updates."""
    names = ("", "a/b")
    results = site.named("store", "AC")
    read_only = [ac.AcSpec(instance_name="closed", ac_store="AC", read_only=True)]
    services: list[Service] = [
        cas.build([cas.CasSpec(instance_name=name, cas_store="CAS") for name in names], site),
        ac.build(
            [*(ac.AcSpec(instance_name=name, ac_store="AC") for name in names), *read_only], site, cas={"": store}
        ),
        bytestream.build([bytestream.ByteStreamSpec(instance_name=name, cas_store="CAS") for name in names], site),
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

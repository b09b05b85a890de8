"""A process that serves large blobs holds a few chunks of each, however many clients there are."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from nlserver.proto import bytestream_pb2 as bs
from nlserver.reapi.wire import write_request

from tests.server.test_app import _running

MIB = 1 << 20
CLIENTS, CHUNKS = 8, 128
MOST_BYTES = 150_000_000
CONFIG = """{
  stores: [{ name: "CAS", compression: {
    compression_algorithm: { lz4: {} },
    backend: { filesystem: { content_path: "DATA/content", temp_path: "DATA/temp" } },
  } }],
  servers: [{
    listener: { http: { socket_address: "127.0.0.1:0" } },
    services: { bytestream: [{ cas_store: "CAS" }], capabilities: [{ remote_cache_compression: true }] },
  }],
}"""
# Half of it is noise: lz4 has something to do and something to write.
SHARED = [b"".join(os.urandom(8192) + bytes(8192) for _ in range(64)) for _ in range(3)]


def peak_bytes(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


class Client:
    def __init__(self, address: str, number: int) -> None:
        # A connection of its own for each.
        self.channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.chunks = [bytes([number]) * MIB, *(SHARED[place % len(SHARED)] for place in range(CHUNKS - 1))]
        hasher = hashlib.sha256()
        for chunk in self.chunks:
            hasher.update(chunk)
        self.name = f"{hasher.hexdigest()}/{CHUNKS * MIB}"

    async def upload(self) -> None:
        async def requests() -> AsyncIterator[bytes]:
            name = f"uploads/{uuid.uuid4()}/blobs/{self.name}".encode()
            for place, chunk in enumerate(self.chunks):
                yield write_request(name, place * MIB, chunk, finish=place == CHUNKS - 1)

        await self.channel.stream_unary("/google.bytestream.ByteStream/Write")(requests())

    async def download(self, kind: str) -> None:
        request = bs.ReadRequest(resource_name=f"{kind}/{self.name}").SerializeToString()
        async for _ in self.channel.unary_stream("/google.bytestream.ByteStream/Read")(request):
            pass


@pytest.mark.slow
async def test_eight_clients_that_stream_large_blobs_cost_few_mebibytes(tmp_path: Path) -> None:
    config = tmp_path / "cas.json5"
    config.write_text(CONFIG.replace("DATA", str(tmp_path)))
    with _running(config) as (process, [address]):
        clients = [Client(address, number) for number in range(CLIENTS)]
        await asyncio.gather(*(client.upload() for client in clients))
        assert peak_bytes(process.pid) < MOST_BYTES
        for kind in ("blobs", "compressed-blobs/zstd"):
            await asyncio.gather(*(client.download(kind) for client in clients))
            assert peak_bytes(process.pid) < MOST_BYTES, kind
        for client in clients:
            await client.channel.close()

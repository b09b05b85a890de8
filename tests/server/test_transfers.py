"""Whole configs whose blobs travel compressed and in chunks, from the text of the config to the wire."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nlserver.reapi.client import Client
from nlserver.reapi.digest import of
from nlserver.store import Missing

from tests.server.test_app import _running

TEXT = b"".join(b"line %d of a long text\n" % n for n in range(300_000))
NOISE = random.Random(5).randbytes(3_000_000)
BACKEND = """{
  stores: [
    { name: "CAS", compression: {
      compression_algorithm: { lz4: {} },
      backend: { filesystem: { content_path: "DATA/content", temp_path: "DATA/temp" } },
    } },
    { name: "INDEX", memory: { eviction_policy: { max_bytes: "10mb" } } },
    { name: "AC", memory: {} },
  ],
  servers: [{
    listener: { http: { socket_address: "127.0.0.1:0" } },
    services: {
      cas: [{ instance_name: "main", cas_store: "CAS", experimental_chunking: {
        index_store: "INDEX", avg_chunk_size_bytes: 65536,
      } }],
      ac: [{ instance_name: "main", ac_store: "AC" }],
      capabilities: [{ instance_name: "main", remote_cache_compression: true }],
      bytestream: [{ instance_name: "main", cas_store: "CAS" }],
    },
  }],
}"""
FRONT = """{
  stores: [
    { name: "CAS", grpc: { store_type: "cas", instance_name: "main", endpoints: [{ address: "grpc://BACKEND" }] } },
  ],
  servers: [{
    listener: { http: { socket_address: "127.0.0.1:0" } },
    services: {
      cas: [{ cas_store: "CAS", experimental_chunking: {} }],
      capabilities: [{ remote_cache_compression: true }],
      bytestream: [{ cas_store: "CAS" }],
    },
  }],
}"""


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[str]:
    config = tmp_path / "backend.json5"
    config.write_text(BACKEND.replace("DATA", str(tmp_path)))
    with _running(config) as (_, [address]):
        yield address


@asynccontextmanager
async def counted(address: str) -> AsyncIterator[tuple[str, list[int]]]:
    """An address that leads to another, and how many bytes went through it, both ways together."""
    host, port = address.split(":")
    moved = [0]

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            moved[0] += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    async with await asyncio.start_server(accepted, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", moved


@pytest.mark.parametrize(("compression", "least", "most"), [("zstd", 0, 5), ("none", 2, 3)])
async def test_a_client_moves_fewer_bytes_by_zstd(backend: str, compression, least: int, most: int) -> None:
    async with (
        counted(backend) as (address, moved),
        Client(cas=f"grpc://{address}", instance_name="main", compression=compression) as client,
    ):
        small = [TEXT[n * 10_000 : n * 10_000 + 9000] for n in range(50)]
        digests = await client.upload([TEXT, *small])
        assert (await client.read_many(digests))[digests[0]] == TEXT
        assert least <= moved[0] / len(TEXT) <= most / (8 if compression == "zstd" else 1)


async def test_a_server_in_front_of_another_passes_on_compression_and_chunks(backend: str, tmp_path: Path) -> None:
    async with counted(backend) as (address, moved):
        config = tmp_path / "front.json5"
        config.write_text(FRONT.replace("BACKEND", address))
        with _running(config) as (_, [front]):
            async with Client(cas=f"grpc://{front}", compression="zstd") as client:
                cache = (await client.capabilities()).cache_capabilities
                assert (cache.split_blob_support, cache.splice_blob_support) == (True, True)
                [digest] = await client.upload([TEXT])
                assert await client.read(digest) == TEXT
                # What the client sends as zstd arrives so at the server behind, though in a stream of its own.
                assert moved[0] < len(TEXT)
                await client.blobs.write(of(NOISE), lambda offset: _chunked(NOISE[offset:]))
                chunks = await client.blobs.split(of(NOISE))
                assert len(chunks) > 20
                found = await client.read_many(chunks)
                assert b"".join(found[chunk] for chunk in chunks) == NOISE
                again = NOISE[: chunks[0].size_bytes + chunks[1].size_bytes]
                await client.blobs.splice(of(again), chunks[:2], by_content=True)
                assert await client.read(of(again)) == again
                with pytest.raises(Missing):
                    await client.blobs.splice(of(b"ab"), [of(b"a"), of(b"b")])


async def _chunked(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1 << 20):
        yield data[start : start + (1 << 20)]

"""The cache services on the stores that configs name: what is left on disk and what is not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import grpc
import pytest
from nlserver.proto import bytestream_pb2 as bs
from nlserver.proto import bytestream_pb2_grpc, remote_execution_pb2_grpc
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import Digest, of
from nlserver.services import bytestream, cas
from nlserver.spec import Site
from nlserver.stores.compression import CompressionSpec, Lz4Spec
from nlserver.stores.filesystem import FilesystemSpec
from nlserver.stores.memory import MemorySpec

KINDS = ["memory", "filesystem", "compression"]


def spec(kind: str, directory: Path):
    match kind:
        case "memory":
            return MemorySpec()
        case "filesystem":
            return FilesystemSpec(content_path=str(directory / "content"), temp_path=str(directory / "temp"))
        case _:
            return CompressionSpec(compression_algorithm=Lz4Spec(), backend=MemorySpec())


class Stubs:
    def __init__(self, channel: grpc.aio.Channel, temp: Path) -> None:
        self.stream = bytestream_pb2_grpc.ByteStreamStub(channel)
        self.cas = remote_execution_pb2_grpc.ContentAddressableStorageStub(channel)
        self._temp = temp

    def litter(self) -> list[str]:
        """Names of files that are still being written."""
        return [name for _, _, names in os.walk(self._temp) for name in names if not name.endswith(".owner")]


@pytest.fixture(params=KINDS)
async def stubs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stubs]:
    tasks: list[asyncio.Task[None]] = []

    def spawn(coroutine: Coroutine[object, object, None], name: str) -> None:
        tasks.append(asyncio.create_task(coroutine, name=name))

    site = Site({"store": {"CAS": spec(request.param, tmp_path)}}, spawn=spawn)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 8 << 20)])
    for service in (
        cas.build([cas.CasSpec(cas_store="CAS")], site),
        bytestream.build([bytestream.ByteStreamSpec(cas_store="CAS", persist_stream_on_disconnect_timeout_s=1)], site),
    ):
        server.add_generic_rpc_handlers(service.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Stubs(channel, tmp_path / "temp")
    await server.stop(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await site.close()


def upload(digest: Digest, data: bytes, start: int = 0, end: int | None = None) -> list[bs.WriteRequest]:
    name, stop = f"uploads/u/blobs/{digest.hash}/{digest.size_bytes}", len(data) if end is None else end
    return [
        bs.WriteRequest(
            resource_name=name,
            write_offset=at,
            data=data[at : min(at + 300_000, stop)],
            finish_write=at + 300_000 >= len(data),
        )
        for at in range(start, stop, 300_000)
    ]


async def download(stubs: Stubs, digest: Digest, offset: int = 0) -> bytes:
    request = bs.ReadRequest(resource_name=f"blobs/{digest.hash}/{digest.size_bytes}", read_offset=offset)
    return b"".join([message.data async for message in stubs.stream.Read(request)])


@pytest.mark.parametrize("size", [1, 1000, 300_000, 300_001, 3_000_000])
async def test_what_is_uploaded_is_downloaded(stubs: Stubs, cache, size: int) -> None:
    data = cache.noise(size)
    digest = of(data)
    assert (await stubs.stream.Write(iter(upload(digest, data)))).committed_size == size
    assert await download(stubs, digest) == data
    assert await download(stubs, digest, size // 2) == data[size // 2 :]
    assert stubs.litter() == []


async def test_batches_and_streams_know_the_same_blobs(stubs: Stubs, cache) -> None:
    blobs = [cache.noise(1000, n) for n in range(50)]
    entry = rx.BatchUpdateBlobsRequest.Request
    requests = [entry(digest=cache.message(of(data)), data=data) for data in blobs]
    update = await stubs.cas.BatchUpdateBlobs(rx.BatchUpdateBlobsRequest(requests=requests))
    assert {answer.status.code for answer in update.responses} == {0}
    digests = [cache.message(of(data)) for data in blobs]
    found = await stubs.cas.FindMissingBlobs(rx.FindMissingBlobsRequest(blob_digests=digests))
    assert not found.missing_blob_digests
    read = await stubs.cas.BatchReadBlobs(rx.BatchReadBlobsRequest(digests=digests))
    assert [answer.data for answer in read.responses] == blobs
    assert await download(stubs, of(blobs[7])) == blobs[7]


@pytest.mark.parametrize("size", [1000, 1_000_000])
async def test_a_corrupt_upload_leaves_nothing(stubs: Stubs, cache, size: int) -> None:
    digest = of(cache.noise(size))
    with cache.refuses(grpc.StatusCode.INVALID_ARGUMENT):
        await stubs.stream.Write(iter(upload(digest, cache.noise(size, 1))))
    await cache.until(lambda: stubs.litter() == [])
    with cache.refuses(grpc.StatusCode.NOT_FOUND):
        await download(stubs, digest)


async def lose(stubs: Stubs, digest: Digest, data: bytes, end: int) -> None:
    """Break the connection of an upload in its middle."""
    call = stubs.stream.Write()
    requests = upload(digest, data, end=end)
    for request in requests:
        await call.write(request)
    status = bs.QueryWriteStatusRequest(resource_name=requests[0].resource_name)
    async with asyncio.timeout(60):
        while (await stubs.stream.QueryWriteStatus(status)).committed_size < end:  # noqa: ASYNC110 - the other side's
            await asyncio.sleep(0.001)
    call.cancel()


async def test_a_broken_upload_goes_on(stubs: Stubs, cache) -> None:
    data = cache.noise(2_000_000)
    digest = of(data)
    await lose(stubs, digest, data, 900_000)
    assert (await stubs.stream.Write(iter(upload(digest, data, 900_000)))).committed_size == len(data)
    assert await download(stubs, digest) == data
    assert stubs.litter() == []


async def test_an_abandoned_upload_is_cleaned_away(stubs: Stubs, cache) -> None:  # BSW-17
    data = cache.noise(2_000_000)
    digest = of(data)
    await lose(stubs, digest, data, 900_000)
    await cache.until(lambda: stubs.litter() == [])
    with cache.refuses(grpc.StatusCode.NOT_FOUND):
        await download(stubs, digest)


async def test_many_writers_of_one_blob_leave_one_blob(stubs: Stubs, cache) -> None:  # BSW-15
    data = cache.noise(700_000)
    digest = of(data)
    corrupt = data[:-1] + bytes([data[-1] ^ 1])
    outcomes = await asyncio.gather(
        *(stubs.stream.Write(iter(upload(digest, corrupt if n == 3 else data))) for n in range(16)),
        return_exceptions=True,
    )
    assert all(outcome == bs.WriteResponse(committed_size=len(data)) for n, outcome in enumerate(outcomes) if n != 3)
    assert await download(stubs, digest) == data
    await cache.until(lambda: stubs.litter() == [])

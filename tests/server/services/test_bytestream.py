"""ByteStream from the wire: reads from any offset, verified and resumable writes (google.bytestream, REAPI v2)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterable

import grpc
import pytest
from nlserver.errors import Code, Error
from nlserver.proto import bytestream_pb2 as bs
from nlserver.proto import bytestream_pb2_grpc
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.services import bytestream

INVALID = grpc.StatusCode.INVALID_ARGUMENT
MIB = 1 << 20
UPLOAD = "11111111-2222-4333-8444-555555555555"


def read_name(digest: Digest, function: str = "", instance: str = "") -> str:
    return f"{instance}blobs/{function}{digest.hash}/{digest.size_bytes}"


def write_name(digest: Digest, function: str = "", instance: str = "", upload: str = UPLOAD, more: str = "") -> str:
    return f"{instance}uploads/{upload}/blobs/{function}{digest.hash}/{digest.size_bytes}{more}"


async def messages(cache, name: str, offset: int = 0, limit: int = 0) -> list[bytes]:
    request = bs.ReadRequest(resource_name=name, read_offset=offset, read_limit=limit)
    return [message.data async for message in cache.bytestream.Read(request)]


async def read(cache, name: str, offset: int = 0, limit: int = 0) -> bytes:
    return b"".join(await messages(cache, name, offset, limit))


def cut(name: str, data: bytes, size: int, start: int = 0, *, finish: bool = True) -> Iterable[bs.WriteRequest]:
    """The messages of an upload from `start` on: the first has the name, the last finishes."""
    for offset in range(start, len(data), size):
        end = min(offset + size, len(data))
        yield bs.WriteRequest(
            resource_name=name if offset == start else "",
            write_offset=offset,
            data=data[offset:end],
            finish_write=finish and end == len(data),
        )


async def write(cache, *requests: bs.WriteRequest) -> int:
    return (await cache.bytestream.Write(iter(requests))).committed_size


async def status(cache, name: str) -> tuple[int, bool]:
    answer = await cache.bytestream.QueryWriteStatus(bs.QueryWriteStatusRequest(resource_name=name))
    return answer.committed_size, answer.complete


async def begin(cache, *requests: bs.WriteRequest) -> grpc.aio.StreamUnaryCall:
    """A write that has sent these messages and goes on; the server has taken them."""
    call = cache.bytestream.Write()
    for request in requests:
        await call.write(request)
    name, end = requests[0].resource_name, requests[-1].write_offset + len(requests[-1].data)
    async with asyncio.timeout(60):
        while (await status(cache, name))[0] < end:  # noqa: ASYNC110 - the answer comes from the other side
            await asyncio.sleep(0.001)
    return call


@contextlib.asynccontextmanager
async def cuttable(address: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """An address that leads to another until the returned call-back cuts every connection, without a goodbye."""
    host, port = address.split(":")
    wires: list[asyncio.StreamWriter] = []
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        wires.extend((writer, back))
        pumps.update((asyncio.create_task(pump(reader, back)), asyncio.create_task(pump(there, writer))))

    def cut_wire() -> None:
        for wire in wires:
            wire.transport.abort()

    proxy = await asyncio.start_server(accepted, host, 0)
    yield f"{host}:{proxy.sockets[0].getsockname()[1]}", cut_wire
    proxy.close()
    for task in pumps:
        task.cancel()
    await asyncio.gather(*pumps, return_exceptions=True)


async def begin_and_lose(cache, *requests: bs.WriteRequest) -> None:
    """As `begin`, and then the connection breaks."""
    uploads = cache.made[2]._instances[""].uploads
    parked = len(uploads._parked)
    (await begin(cache, *requests)).cancel()
    await cache.until(lambda: len(uploads._parked) == parked + 1)


async def call_once(cache, request: bs.ReadRequest) -> None:
    async for _ in cache.bytestream.Read(request):
        pass


class TestRead:
    @pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, MIB, MIB + 1, 3 * MIB + 17])
    async def test_gives_the_whole_blob_in_messages_of_at_most_a_mebibyte(
        self, cache, store, size
    ) -> None:  # BSR-01/02
        data = cache.noise(size)
        got = await messages(cache, read_name(store.keep(data)))
        assert b"".join(got) == data
        assert all(0 < len(piece) <= MIB for piece in got)

    async def test_an_absent_blob_is_not_found(self, cache, store) -> None:  # BSR-03, DIG-02
        digest = store.keep(b"abc")
        for absent in (of(b"x"), digest._replace(size_bytes=4), Digest(digest.hash, 5 * MIB)):
            with cache.refuses(grpc.StatusCode.NOT_FOUND):
                await read(cache, read_name(absent))
            with cache.refuses(grpc.StatusCode.NOT_FOUND):
                await read(cache, read_name(absent), offset=absent.size_bytes)

    @pytest.mark.parametrize("size", [100, 3 * MIB])
    async def test_offsets_and_limits_cut_the_blob(self, cache, store, size) -> None:  # BSR-04, BSR-05
        data = cache.noise(size)
        name = read_name(store.keep(data))
        for offset in (0, 1, size // 2, size - 1, size):
            for limit in (0, 1, 10, size, 2**62):
                assert await read(cache, name, offset, limit) == data[offset : offset + limit if limit else None]

    async def test_offsets_outside_of_the_blob_are_out_of_range(self, cache, store) -> None:  # BSR-04, HC-24
        name = read_name(store.keep(b"abc"))
        for offset in (4, -1, 2**63 - 1, -(2**63)):
            with cache.refuses(grpc.StatusCode.OUT_OF_RANGE):
                await read(cache, name, offset)

    async def test_a_negative_limit_is_refused(self, cache, store) -> None:  # BSR-05
        with cache.refuses(INVALID, "read_limit"):
            await read(cache, read_name(store.keep(b"abc")), limit=-1)

    @pytest.mark.parametrize("function", list(Function))
    async def test_the_empty_blob_is_read_as_no_message(self, cache, function) -> None:  # DIG-05
        segment = f"{function.name.lower()}/"
        assert await messages(cache, read_name(EMPTY[function], segment)) == []

    async def test_a_blake3_blob_is_found_by_its_function_only(self, cache, store) -> None:  # DIG-07
        digest = store.keep(b"abc", Function.BLAKE3)
        assert await read(cache, read_name(digest, "blake3/")) == b"abc"
        with cache.refuses(grpc.StatusCode.NOT_FOUND):
            await read(cache, read_name(digest))

    async def test_instances_and_nativelinks_leading_slash_are_understood(self, cache, store) -> None:  # INS-01
        digest = store.keep(b"abc")
        for name in (read_name(digest, instance="a/b/"), read_name(digest, "sha256/", instance="/")):
            assert await read(cache, name) == b"abc"
        with cache.refuses(INVALID, "not configured"):
            await read(cache, read_name(digest, instance="nope/"))

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "blobs",
            f"blobs/{'a' * 64}",
            f"blobs/{'A' * 64}/3",
            f"blobs/{'a' * 64}/+3",
            f"blobs/{'a' * 64}/-1",
            f"blobs/{'a' * 64}/{2**63}",
            f"blobs/sha1/{'a' * 64}/3",
            f"blobs/{'a' * 64}/3\n",
            f"uploads/{UPLOAD}/blobs/{'a' * 64}/3",
            f"compressed-blobs/zstd/{'a' * 64}/3",
            f"compressed-blobs/lz4/{'a' * 64}/3",
        ],
    )
    async def test_bad_names_are_refused(self, cache, name) -> None:  # BSR-09, BSR-13, HD-13, HD-14
        with cache.refuses(INVALID):
            await read(cache, name)

    async def test_a_damaged_blob_never_ends_well(self, cache, store) -> None:  # BSR-03, BSR-18
        for size in (100, 3 * MIB):
            for found in (size - 1, size + 1):
                digest = of(cache.noise(size))
                store.blobs[digest] = cache.noise(found)
                with cache.refuses(grpc.StatusCode.DATA_LOSS):
                    await read(cache, read_name(digest))

    async def test_a_slow_reader_holds_the_store_back(self, cache, store) -> None:  # BSR-17
        digest = store.keep(bytes(256 * MIB))
        call = cache.bytestream.Read(bs.ReadRequest(resource_name=read_name(digest)))
        await call.read()
        before = -1
        while store.read_bytes != before:
            before = store.read_bytes
            await asyncio.sleep(0.05)
        assert store.read_bytes < 40 * MIB
        call.cancel()

    async def test_readers_that_leave_leave_nothing_behind(self, cache, store) -> None:  # BSR-16
        digest = store.keep(bytes(4 * MIB))
        request = bs.ReadRequest(resource_name=read_name(digest))
        await call_once(cache, request)
        open_files, tasks = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
        calls = [cache.bytestream.Read(request) for _ in range(50)]
        await asyncio.gather(*(call.read() for call in calls))
        for call in calls:
            call.cancel()
        await cache.until(lambda: store.open_reads == 0 and len(asyncio.all_tasks()) <= tasks)
        assert len(os.listdir("/proc/self/fd")) <= open_files

    async def test_an_expired_deadline_ends_the_read(self, cache, store) -> None:  # NET-16
        digest = store.keep(bytes(64 * MIB))
        call = cache.bytestream.Read(bs.ReadRequest(resource_name=read_name(digest)), timeout=2)
        await call.read()
        await cache.until(lambda: store.open_reads == 0)


class TestWrite:
    @pytest.mark.parametrize(("size", "step"), [(1, 1), (100, 100), (100, 7), (3 * MIB + 5, MIB), (200_000, 65_536)])
    async def test_keeps_a_blob_of_one_or_many_messages(self, cache, store, size, step) -> None:  # BSW-01
        data = cache.noise(size)
        digest = of(data)
        assert await write(cache, *cut(write_name(digest), data, step)) == size
        assert store.blobs == {digest: data}

    @pytest.mark.parametrize("size", [0, 5, 100_000, 3 * MIB])
    async def test_the_end_may_come_in_an_empty_message_of_its_own(self, cache, store, size) -> None:  # BSW-20, BSW-21
        data = cache.noise(size)
        name = write_name(of(data), "sha256/", instance="/")
        start = bs.WriteRequest(resource_name=name)
        pieces = [
            bs.WriteRequest(resource_name=name, write_offset=at, data=data[at : at + MIB]) for at in range(0, size, MIB)
        ]
        end = bs.WriteRequest(resource_name=name, write_offset=size, finish_write=True)
        assert await write(cache, start, *pieces, end) == size
        assert store.blobs == ({of(data): data} if data else {})

    @pytest.mark.parametrize("function", list(Function))
    async def test_empty_blobs_are_taken_and_never_kept(self, cache, store, function) -> None:  # BSW-20
        name = write_name(EMPTY[function], f"{function.name.lower()}/")
        assert await write(cache, bs.WriteRequest(resource_name=name, finish_write=True)) == 0
        assert store.blobs == {}

    async def test_metadata_after_the_size_is_ignored(self, cache, store) -> None:  # BSW-03
        name = write_name(of(b"abc"), more="/some/file.txt")
        assert await write(cache, *cut(name, b"abc", 3)) == 3

    async def test_a_message_of_four_megabytes_passes(self, cache, store) -> None:  # BSW-22
        data = cache.noise(4_000_000)
        assert await write(cache, *cut(write_name(of(data)), data, 4_000_000)) == 4_000_000

    @pytest.mark.parametrize("step", [100_000, 70_000, 1000])
    @pytest.mark.parametrize("function", list(Function))
    async def test_one_wrong_byte_is_refused_and_nothing_kept(self, cache, store, step, function) -> None:  # BSW-11
        data = cache.noise(100_000)
        name = write_name(of(data, function), f"{function.name.lower()}/")
        with cache.refuses(INVALID, "Hash verification"):
            await write(cache, *cut(name, data[:-1] + bytes([data[-1] ^ 1]), step))
        assert store.blobs == {}
        await cache.until(lambda: not store.partial)

    async def test_too_much_data_is_refused_as_soon_as_it_comes(self, cache, store) -> None:  # BSW-09, HC-05
        name, sent = write_name(of(b"abc")), 0
        call = cache.bytestream.Write()
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for sent in range(256):
                await call.write(bs.WriteRequest(resource_name=name, write_offset=sent * MIB, data=bytes(MIB)))
        assert sent < 255
        with cache.refuses(INVALID):
            await write(cache, *cut(name, b"abcd", 4))
        data = cache.noise(100)
        with cache.refuses(INVALID, "Sent too much data. Expected 99"):
            await write(cache, *cut(write_name(of(data)._replace(size_bytes=99)), data, 50))
        assert store.blobs == {}

    @pytest.mark.parametrize("step", [50, 99])
    async def test_too_little_data_is_refused_at_the_end(self, cache, store, step) -> None:  # BSW-10, HC-06
        data = cache.noise(100)
        with cache.refuses(INVALID, "Expected size 100 but got size 99"):
            await write(cache, *cut(write_name(of(data)), data[:-1], step))
        await cache.until(lambda: not store.partial)
        assert store.blobs == {}

    async def test_a_stream_without_any_message_is_refused(self, cache) -> None:  # HC-10
        with cache.refuses(INVALID):
            await write(cache)

    async def test_a_stream_that_ends_early_commits_nothing(self, cache, store) -> None:  # BSW-08
        data = cache.noise(100)
        for step in (40, 100):
            with cache.refuses(INVALID, "closed stream"):
                await write(cache, *cut(write_name(of(data)), data, step, finish=False))
        assert store.blobs == {}

    @pytest.mark.parametrize("offset", [5, 15, 2**63 - 1, -1, 0])
    async def test_gaps_and_overlaps_within_a_stream_are_refused(self, cache, store, offset) -> None:  # BSW-05, HC-07
        data = cache.noise(20)
        first, second = cut(write_name(of(data)), data, 10)
        second.write_offset = offset
        with cache.refuses(INVALID, "out of order"):
            await write(cache, first, second)
        assert store.blobs == {}

    @pytest.mark.parametrize("offset", [1, 10, 2**63 - 1, -1])
    async def test_an_upload_that_nobody_knows_begins_at_0(self, cache, store, offset) -> None:  # BSW-05
        with cache.refuses(INVALID, "offset" if offset < 0 else "out of order"):
            await write(
                cache,
                bs.WriteRequest(
                    resource_name=write_name(of(b"abc")), write_offset=offset, data=b"c", finish_write=True
                ),
            )

    async def test_the_name_comes_first_and_never_changes(self, cache, store) -> None:  # BSW-02, HC-08
        data = cache.noise(20)
        first, second = cut(write_name(of(data)), data, 10)
        second.resource_name = write_name(of(b"other"))
        with cache.refuses(INVALID, "resource_name changed"):
            await write(cache, first, second)
        with cache.refuses(INVALID):
            await write(cache, *cut("", data, 10))

    async def test_nothing_may_follow_the_end(self, cache, store) -> None:  # BSW-07, HC-09
        with cache.refuses(INVALID, "after finish_write"):
            await write(cache, *cut(write_name(of(b"abc")), b"abc", 3), bs.WriteRequest(write_offset=3, data=b"d"))

    async def test_a_client_that_waits_for_the_answer_before_it_ends_its_stream_gets_it(self, cache, store) -> None:
        call = cache.bytestream.Write()
        for request in cut(write_name(of(b"abc")), b"abc", 3):
            await call.write(request)
        assert (await asyncio.wait_for(call, 60)).committed_size == 3

    @pytest.mark.parametrize(
        "name",
        [
            f"blobs/{'a' * 64}/3",
            f"uploads/{UPLOAD}/blobs/{'a' * 63}/3",
            f"uploads/{UPLOAD}/blobs/{'a' * 64}/x",
            f"uploads/{UPLOAD}/blobs/{'a' * 64}/0",
            f"uploads//blobs/{'a' * 64}/3",
            f"uploads/{UPLOAD}/compressed-blobs/zstd/{'a' * 64}/3",
            f"nope/uploads/{UPLOAD}/blobs/{'a' * 64}/3",
        ],
    )
    async def test_bad_names_are_refused(self, cache, name) -> None:  # BSW-27, HD-13
        with cache.refuses(INVALID):
            await write(cache, bs.WriteRequest(resource_name=name, data=b"abc", finish_write=True))
        with cache.refuses(INVALID):
            await status(cache, name)  # QWS-05

    async def test_a_message_that_is_none_is_an_invalid_argument(self, cache) -> None:  # NET-04
        method = "/google.bytestream.ByteStream/Write"
        call = cache.channel.stream_unary(method, request_serializer=bytes, response_deserializer=bytes)
        good = next(iter(cut(write_name(of(b"abcdef")), b"abcdef", 3))).SerializeToString()
        for sent in ([b"\xff\xff\xff"], [good, b"\xff\xff\xff"]):
            with cache.refuses(INVALID):
                await call(iter(sent))

    async def test_a_blob_that_is_here_is_taken_to_the_end_and_not_written_again(self, cache, store) -> None:  # BSW-12
        data = cache.noise(3 * MIB)
        digest = store.keep(data)
        call = cache.bytestream.Write()
        requests = list(cut(write_name(digest), data, 100_000))
        for request in requests[:-1]:
            await call.write(request)
            assert not call.done()
        await call.write(requests[-1])
        assert (await call).committed_size == len(data)
        assert store.written == 0

    async def test_of_thirty_two_writers_only_the_corrupt_one_fails(self, cache, store) -> None:  # BSW-15, HC-14
        data = cache.noise(300_000)
        digest = of(data)
        corrupt = bytes([data[0] ^ 1]) + data[1:]
        outcomes = await asyncio.gather(
            *(write(cache, *cut(write_name(digest), corrupt if n == 7 else data, 50_000)) for n in range(32)),
            return_exceptions=True,
        )
        failed = [n for n, outcome in enumerate(outcomes) if outcome != len(data)]
        assert failed in ([7], [])  # a blob that is complete by then is not looked at again
        assert store.blobs == {digest: data}
        await cache.until(lambda: not store.partial)

    async def test_one_upload_id_may_carry_many_blobs_at_once(self, cache, store) -> None:  # BSW-04, HC-13
        blobs = [cache.noise(100_000, n) for n in range(8)]
        await asyncio.gather(*(write(cache, *cut(write_name(of(data)), data, 30_000)) for data in blobs))
        assert set(store.blobs.values()) == set(blobs)

    async def test_a_store_that_fails_says_so_and_a_second_try_passes(self, cache, store) -> None:  # BSW-19, HC-35
        data = cache.noise(100_000)
        store.failure = Error(Code.RESOURCE_EXHAUSTED, "the disk is full")
        for step in (100_000, 30_000):
            with cache.refuses(grpc.StatusCode.RESOURCE_EXHAUSTED, "the disk is full"):
                await write(cache, *cut(write_name(of(data)), data, step))
        store.failure = None
        assert await write(cache, *cut(write_name(of(data)), data, 30_000)) == 100_000

    async def test_a_blob_is_invisible_until_it_is_whole(self, cache, store) -> None:  # BSW-28, FMB-08
        data = cache.noise(100)
        digest = of(data)
        call = await begin(
            cache, *list(cut(write_name(digest), data, 50))[:1], *cut(write_name(digest), data, 30, 50, finish=False)
        )
        request = rx.FindMissingBlobsRequest(blob_digests=[cache.message(digest)])
        assert len((await cache.cas.FindMissingBlobs(request)).missing_blob_digests) == 1
        await call.write(bs.WriteRequest(write_offset=100, finish_write=True))
        assert (await call).committed_size == 100
        assert len((await cache.cas.FindMissingBlobs(request)).missing_blob_digests) == 0


class TestResume:
    @pytest.mark.parametrize("step", [100_000, 20_000])
    async def test_an_upload_goes_on_where_its_connection_broke(self, cache, store, step) -> None:  # BSW-16
        data = cache.noise(250_000)
        name = write_name(of(data))
        await begin_and_lose(cache, *cut(name, data[:100_000], step, finish=False))
        assert await status(cache, name) == (100_000, False)
        assert await write(cache, *cut(name, data, 40_000, 100_000)) == len(data)
        assert store.blobs == {of(data): data}
        assert await status(cache, name) == (len(data), True)  # QWS-01

    async def test_an_upload_goes_on_after_its_wire_was_cut(self, cache, store) -> None:  # BSW-16
        data = cache.noise(500_000)
        name = write_name(of(data))
        async with cuttable(cache.address) as (address, cut_wire):
            options = [("grpc.enable_retries", 0)]
            async with grpc.aio.insecure_channel(address, options=options) as channel:
                call = type(cache.bytestream)(channel).Write()
                for request in cut(name, data[:200_000], 50_000, finish=False):
                    await call.write(request)
                while (await status(cache, name))[0] < 200_000:  # noqa: ASYNC110 - the answer comes from the other side
                    await asyncio.sleep(0.001)
                cut_wire()
                with pytest.raises(grpc.aio.AioRpcError):
                    await call
        uploads = cache.made[2]._instances[""].uploads
        await cache.until(lambda: len(uploads._parked) == 1)
        assert await write(cache, *cut(name, data, 100_000, 200_000)) == len(data)
        assert store.blobs == {of(data): data}

    async def test_a_second_stream_may_repeat_what_came_already(self, cache, store) -> None:  # NativeLink behaviour
        data = cache.noise(1000)
        name = write_name(of(data))
        await begin_and_lose(cache, *cut(name, data[:600], 200, finish=False))
        assert await write(cache, *cut(name, data, 150, 100)) == 1000
        assert store.blobs == {of(data): data}

    @pytest.mark.parametrize("lost", [100, 600])
    async def test_an_upload_may_begin_again_at_0_under_its_name(self, cache, store, lost) -> None:  # BSW-16
        data = cache.noise(1000)
        name = write_name(of(data))
        await begin_and_lose(cache, *cut(name, bytes(lost), 100, finish=False))
        assert await write(cache, *cut(name, data, 300)) == 1000
        assert store.blobs == {of(data): data}
        await cache.until(lambda: not store.partial)

    async def test_a_second_stream_takes_over_from_one_that_seems_alive(self, cache, store) -> None:
        data = cache.noise(1000)
        name = write_name(of(data))
        old = await begin(cache, *cut(name, data[:600], 200, finish=False))
        assert await write(cache, *cut(name, data, 200, 600)) == 1000
        await old.write(bs.WriteRequest(write_offset=600, data=b"late"))
        with cache.refuses(grpc.StatusCode.ABORTED, "another stream"):
            await old
        assert store.blobs == {of(data): data}

    async def test_a_second_stream_from_0_leaves_the_first_alone(self, cache, store) -> None:  # BSW-16, NativeLink
        data = cache.noise(1000)
        name = write_name(of(data))
        old = await begin(cache, *cut(name, data[:600], 200, finish=False))
        assert await write(cache, *cut(name, data, 500)) == 1000
        for request in cut("", data, 200, 600):
            await old.write(request)
        assert (await old).committed_size == 1000

    async def test_other_digests_and_instances_know_nothing_of_it(self, cache) -> None:  # QWS-06, HC-15
        data = cache.noise(1000)
        await begin_and_lose(cache, *cut(write_name(of(data)), data[:600], 200, finish=False))
        assert await status(cache, write_name(of(b"other"))) == (0, False)
        assert await status(cache, write_name(of(data), instance="a/b/")) == (0, False)
        with cache.refuses(INVALID):
            await write(cache, *cut(write_name(of(data), instance="a/b/"), data, 400, 600))

    async def test_an_unknown_upload_came_to_0_and_a_present_blob_to_its_end(self, cache, store) -> None:  # QWS-01/02
        assert await status(cache, write_name(of(b"unknown"))) == (0, False)
        assert await status(cache, write_name(store.keep(b"here"))) == (4, True)
        assert await status(cache, write_name(EMPTY[Function.SHA256])) == (0, True)

    async def test_the_status_grows_while_the_upload_runs(self, cache, store) -> None:  # QWS-03, QWS-04
        data = cache.noise(500_000)
        name = write_name(of(data))
        call = cache.bytestream.Write()
        seen = [0]
        for request in cut(name, data, 50_000):
            await call.write(request)
            seen.append((await status(cache, name))[0])
        await call
        assert seen == sorted(seen)
        assert await status(cache, name) == (500_000, True)

    async def test_a_broken_upload_whose_bytes_are_wrong_is_refused_in_the_end(self, cache, store) -> None:
        data = cache.noise(1000)
        name = write_name(of(data))
        await begin_and_lose(cache, *cut(name, bytes(600), 200, finish=False))
        with cache.refuses(INVALID, "Hash verification"):
            await write(cache, *cut(name, data, 200, 600))
        assert store.blobs == {}
        assert await status(cache, name) == (0, False)

    async def test_stopping_ends_what_waits(self, cache, store) -> None:
        data = cache.noise(1000)
        await begin_and_lose(cache, *cut(write_name(of(data)), data[:600], 200, finish=False))
        assert store.partial
        await cache.site.close()
        assert not store.partial


@pytest.fixture
async def impatient(site, store) -> AsyncIterator[bytestream_pb2_grpc.ByteStreamStub]:
    """A ByteStream service whose clients have a quarter of a second."""
    spec = bytestream.ByteStreamSpec(cas_store="CAS")
    served = {"": bytestream._Instance(spec, store)}
    server = grpc.aio.server()
    for handler in bytestream.ByteStream(served, Function.SHA256, idle_seconds=0.25).handlers():
        server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield bytestream_pb2_grpc.ByteStreamStub(channel)
    await server.stop(0)
    await served[""].uploads.close()


class TestIdleClients:
    async def test_a_writer_that_sends_nothing_is_ended(self, impatient, cache) -> None:  # HC-11
        with cache.refuses(grpc.StatusCode.DEADLINE_EXCEEDED, "sent nothing"):
            await asyncio.wait_for(impatient.Write(), 60)

    async def test_a_writer_that_stops_is_ended_and_may_go_on(self, impatient, cache, store) -> None:  # HC-11
        data = cache.noise(1000)
        call = impatient.Write()
        for request in cut(write_name(of(data)), data[:600], 300, finish=False):
            await call.write(request)
        with cache.refuses(grpc.StatusCode.DEADLINE_EXCEEDED):
            await asyncio.wait_for(call, 60)
        assert (await impatient.Write(cut(write_name(of(data)), data, 400, 600))).committed_size == 1000

    async def test_a_reader_that_takes_nothing_is_ended(self, impatient, cache, store) -> None:  # HC-25
        digest = store.keep(bytes(64 * MIB))
        call = impatient.Read(bs.ReadRequest(resource_name=read_name(digest)))
        await call.read()
        assert store.open_reads == 1
        await cache.until(lambda: store.open_reads == 0)
        call.cancel()


async def test_messages_are_as_small_as_the_config_says(site, store, cache) -> None:
    spec = bytestream.ByteStreamSpec(instance_name="small", cas_store="CAS", max_bytes_per_stream=1000)
    service = bytestream.build([spec], site)
    data = cache.noise(2500)
    digest = store.keep(data)
    got: list[bytes] = []

    class Context:
        async def write(self, message: bytes) -> None:
            got.append(bs.ReadResponse.FromString(message).data)

    await service.Read(bs.ReadRequest(resource_name=read_name(digest, instance="small/")), Context())
    assert [len(piece) for piece in got] == [1000, 1000, 500]
    assert b"".join(got) == data

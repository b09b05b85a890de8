"""Blobs that travel compressed, from the wire: ByteStream and batches (REAPI v2, compressed-blobs and Compressor)."""

from __future__ import annotations

import asyncio
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager

import grpc
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.proto import bytestream_pb2 as bs
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi import codec, methods
from nlserver.reapi.channel import dial
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.reapi.names import Compressor

from tests.server.reapi.test_codec import zeros

INVALID = grpc.StatusCode.INVALID_ARGUMENT
MIB = 1 << 20
UPLOAD = "11111111-2222-4333-8444-555555555555"
both = pytest.mark.parametrize("compressor", codec.SERVED)


def read_name(digest: Digest, compressor: str = "zstd", instance: str = "packed/", function: str = "") -> str:
    return f"{instance}compressed-blobs/{compressor}/{function}{digest.hash}/{digest.size_bytes}"


def write_name(digest: Digest, compressor: str = "zstd", instance: str = "packed/", function: str = "") -> str:
    return f"{instance}uploads/{UPLOAD}/{read_name(digest, compressor, '', function)}"


def pack(data: bytes, compressor: str = "zstd") -> bytes:
    """As others do, who do not share our code."""
    if compressor == "zstd":
        return zstandard.ZstdCompressor(write_checksum=True).compress(data)
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


def unpack(data: bytes, compressor: str = "zstd") -> bytes:
    if compressor == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return zlib.decompress(data, wbits=-15)


async def messages(cache, name: str, offset: int = 0, limit: int = 0) -> list[bytes]:
    request = bs.ReadRequest(resource_name=name, read_offset=offset, read_limit=limit)
    return [message.data async for message in cache.bytestream.Read(request)]


def cut(name: str, packed: bytes, step: int = 0) -> Iterable[bs.WriteRequest]:
    step = step or max(1, len(packed))
    for offset in range(0, max(1, len(packed)), step):
        end = min(offset + step, len(packed))
        yield bs.WriteRequest(
            resource_name=name, write_offset=offset, data=packed[offset:end], finish_write=end == len(packed)
        )


async def write(cache, *requests: bs.WriteRequest) -> int:
    return await write_all(cache, requests)


async def write_all(cache, requests: Iterable[bs.WriteRequest]) -> int:
    """By our own channel: gRPC's own hides the server's status when a stream is refused while it is written to."""

    async def messages() -> AsyncIterator[bytes]:
        for request in requests:
            yield request.SerializeToString()

    channel = dial(f"grpc://{cache.address}")
    try:
        return (await channel.send(methods.WRITE, messages())).committed_size
    finally:
        await channel.close()


@contextmanager
def refused(*words: str) -> Iterator[None]:
    """The write inside is an INVALID_ARGUMENT with these words, and no Python shows through."""
    with pytest.raises(Error) as caught:
        yield
    assert caught.value.code is Code.INVALID_ARGUMENT
    for word in words:
        assert word in caught.value.message
    for trace in ("Traceback", "Error(", "<class", "nlserver", "Exception"):
        assert trace not in caught.value.message


async def verdict(cache, *requests: bs.WriteRequest) -> int | Code:
    try:
        return await write(cache, *requests)
    except Error as error:
        return error.code


async def status(cache, name: str) -> tuple[int, bool]:
    answer = await cache.bytestream.QueryWriteStatus(bs.QueryWriteStatusRequest(resource_name=name))
    return answer.committed_size, answer.complete


class TestRead:
    @both
    @pytest.mark.parametrize("size", [1, 65_535, 65_536, MIB, 3 * MIB + 17])
    async def test_any_blob_is_read_compressed_whatever_it_was_uploaded_as(
        self, cache, store, compressor, size
    ) -> None:  # BSR-08, BSR-10
        data = cache.noise(size // 2) + bytes(size - size // 2)
        got = await messages(cache, read_name(store.keep(data), compressor))
        assert unpack(b"".join(got), compressor) == data
        assert all(0 < len(piece) <= MIB for piece in got)

    @both
    async def test_offsets_count_plain_bytes_and_give_a_stream_of_the_rest(self, cache, store, compressor) -> None:
        for data in (cache.noise(1000), cache.noise(MIB) + bytes(2 * MIB)):  # BSR-07
            name = read_name(store.keep(data), compressor)
            for offset in (1, len(data) // 2, len(data) - 1, len(data)):
                got = await messages(cache, name, offset)
                assert unpack(b"".join(got), compressor) == data[offset:]

    @both
    @pytest.mark.parametrize("function", list(Function))
    async def test_the_empty_blob_is_a_stream_of_nothing(self, cache, compressor, function) -> None:  # BSR-11
        name = read_name(EMPTY[function], compressor, function=f"{function.name.lower()}/")
        got = b"".join(await messages(cache, name))
        assert got
        assert unpack(got, compressor) == b""

    async def test_a_limit_is_refused(self, cache, store) -> None:  # BSR-06
        for data in (b"abc", bytes(MIB)):
            with cache.refuses(INVALID, "read_limit"):
                await messages(cache, read_name(store.keep(data)), limit=3)

    async def test_absent_blobs_and_offsets_outside_are_told_apart(self, cache, store) -> None:  # BSR-03, BSR-04
        digest = store.keep(b"abc")
        for absent in (of(b"x"), digest._replace(size_bytes=5 * MIB)):
            for offset in (0, absent.size_bytes):
                with cache.refuses(grpc.StatusCode.NOT_FOUND):
                    await messages(cache, read_name(absent), offset)
        for offset in (4, -1, 2**63 - 1):
            with cache.refuses(grpc.StatusCode.OUT_OF_RANGE):
                await messages(cache, read_name(digest), offset)

    @pytest.mark.parametrize("compressor", ["brotli", "lz4", "ZSTD", "", "zstd/zstd"])
    async def test_other_compressors_are_refused(self, cache, store, compressor) -> None:  # BSR-09
        with cache.refuses(INVALID):
            await messages(cache, read_name(store.keep(b"abc"), compressor))

    async def test_an_instance_that_announces_none_has_none(self, cache, store) -> None:  # CAP-08
        digest = store.keep(b"abc")
        with cache.refuses(INVALID, "not announced"):
            await messages(cache, read_name(digest, instance=""))
        with refused("not announced"):
            await write(cache, *cut(write_name(digest, instance=""), pack(b"abc")))
        with cache.refuses(INVALID, "not announced"):
            await status(cache, write_name(digest, instance=""))

    async def test_a_damaged_blob_never_ends_well(self, cache, store) -> None:  # BSR-03, BSR-18
        for size in (100, 3 * MIB):
            for found in (size - 1, size + 1):
                digest = of(cache.noise(size))
                store.blobs[digest] = cache.noise(found)
                with cache.refuses(grpc.StatusCode.DATA_LOSS):
                    await messages(cache, read_name(digest))

    async def test_a_slow_reader_holds_the_store_back(self, cache, store) -> None:  # BSR-17
        digest = store.keep(cache.noise(MIB) * 128)
        call = cache.bytestream.Read(bs.ReadRequest(resource_name=read_name(digest, "deflate")))
        await call.read()
        before = -1
        while store.read_bytes != before:
            before = store.read_bytes
            await asyncio.sleep(0.2)
        assert store.read_bytes < 60 * MIB
        call.cancel()
        await cache.until(lambda: store.open_reads == 0)


class TestWrite:
    @both
    @pytest.mark.parametrize(("size", "step"), [(1, 0), (1000, 7), (3 * MIB, 0), (3 * MIB, 100_000), (100_000, 16_384)])
    async def test_keeps_what_a_stream_stands_for_and_counts_its_bytes(
        self, cache, store, compressor, size, step
    ) -> None:  # BSW-14, BSW-23, BSR-08
        data = cache.noise(size // 2) + bytes(size - size // 2)
        packed = pack(data, compressor)
        assert await write(cache, *cut(write_name(of(data), compressor), packed, step)) == len(packed)
        assert store.blobs == {of(data): data}
        got = await messages(cache, f"packed/blobs/{of(data).hash}/{size}")
        assert b"".join(got) == data

    @both
    @pytest.mark.parametrize("function", list(Function))
    async def test_the_functions_and_the_empty_blob_are_served(self, cache, store, compressor, function) -> None:
        for data in (b"", cache.noise(200_000)):
            name = write_name(of(data, function), compressor, function=f"{function.name.lower()}/")
            packed = pack(data, compressor)
            assert await write(cache, *cut(name, packed)) == len(packed)
        assert store.blobs == {of(data, function): data}

    async def test_the_end_may_come_in_an_empty_message_of_its_own(self, cache, store) -> None:
        data = cache.noise(MIB)
        packed = pack(data)
        *requests, last = cut(write_name(of(data)), packed, 300_000)
        last.finish_write = False
        end = bs.WriteRequest(write_offset=len(packed), finish_write=True)
        assert await write(cache, *requests, last, end) == len(packed)
        assert store.blobs == {of(data): data}

    async def test_several_frames_and_skippable_ones_are_one_blob(self, cache, store) -> None:  # BSR-10
        a, b = cache.noise(300_000), bytes(300_000)
        packed = pack(a) + bytes.fromhex("502a4d1805000000") + b"12345" + pack(b)
        assert await write(cache, *cut(write_name(of(a + b)), packed, 10_000)) == len(packed)
        assert store.blobs == {of(a + b): a + b}

    async def test_a_stream_may_be_longer_than_its_blob(self, cache, store) -> None:
        packed = pack(b"") * 2000 + pack(b"abc")
        assert await write(cache, *cut(write_name(of(b"abc")), packed, 5000)) == len(packed)
        assert store.blobs == {of(b"abc"): b"abc"}

    @both
    @pytest.mark.parametrize("step", [0, 50_000])
    async def test_damaged_streams_are_refused_and_nothing_is_kept(
        self, cache, store, compressor, step
    ) -> None:  # BSW-24, HC-20, HC-21
        data = cache.noise(100_000) + bytes(100_000)
        packed = pack(data, compressor)
        damaged = bytes((packed[0] ^ 0xFF,)) + packed[1:]
        for sent in (packed[:-1], packed[: len(packed) // 2], packed + b"junk", damaged, data):
            with refused():
                await write(cache, *cut(write_name(of(data), compressor), sent, step))
        await cache.until(lambda: not store.partial)
        assert store.blobs == {}

    @both
    @pytest.mark.parametrize("step", [0, 30_000])
    async def test_another_hash_or_size_is_refused_and_nothing_is_kept(
        self, cache, store, compressor, step
    ) -> None:  # BSW-23
        data = cache.noise(100_000)
        packed = pack(data, compressor)
        for digest in (
            of(data[1:]),
            of(cache.noise(100_000, 1)),
            of(data)._replace(size_bytes=99_999),
            of(data)._replace(size_bytes=100_001),
            of(data)._replace(size_bytes=5 * MIB),
        ):
            with refused():
                await write(cache, *cut(write_name(digest, compressor), packed, step))
        await cache.until(lambda: not store.partial)
        assert store.blobs == {}

    @pytest.mark.parametrize("size", [1000, 5 * MIB])
    async def test_a_bomb_is_refused_when_it_is_larger_than_its_blob(self, cache, store, size) -> None:  # HC-16
        bomb, digest = zeros(250_000), of(bytes(size))
        tracemalloc.start()
        try:
            with refused():
                await write(cache, *cut(write_name(digest), bomb))
            with refused():
                await write(cache, *cut(write_name(digest), bomb, 100_000))
            assert tracemalloc.get_traced_memory()[1] < 40 * MIB
        finally:
            tracemalloc.stop()
        assert store.blobs == {}

    @pytest.mark.parametrize("head", ["28b52ffd00a8", "28b52ffde00000000000000040"])
    async def test_enormous_windows_and_contents_are_refused(self, cache, store, head) -> None:  # HC-17, HC-18
        for digest in (of(b"abc"), of(bytes(5 * MIB))):
            with refused():
                await write(cache, *cut(write_name(digest), bytes.fromhex(head) + bytes(100)))

    async def test_endless_empty_frames_are_refused(self, cache, store) -> None:  # HC-19
        skippable = bytes.fromhex("502a4d18") + (1_000_000).to_bytes(4, "little") + bytes(1_000_000)
        name, taken = write_name(of(b"abc")), 0

        def endless() -> Iterable[bs.WriteRequest]:
            nonlocal taken
            while taken < 1000 * MIB:
                yield bs.WriteRequest(resource_name=name, write_offset=taken, data=skippable)
                taken += len(skippable)

        with refused("Sent too much data"):
            await write_all(cache, endless())
        assert taken < 64 * MIB

    @pytest.mark.parametrize("offset", [-1, 1, 50_000, 2**63 - 1])
    async def test_it_begins_at_0_and_has_no_gaps(self, cache, store, offset) -> None:  # BSW-06
        data = cache.noise(100_000)
        first, second, *_ = requests = list(cut(write_name(of(data)), pack(data), 40_000))
        with refused("out of order"):
            second.write_offset = offset
            await write(cache, *requests)
        with refused("out of order"):
            first.write_offset = offset
            await write(cache, *requests)
        assert store.blobs == {}

    async def test_a_broken_upload_begins_again(self, cache, store) -> None:  # BSW-06, BSW-16
        data = cache.noise(3 * MIB)
        name, packed = write_name(of(data)), pack(data)
        call = cache.bytestream.Write()
        for request in list(cut(name, packed, MIB))[:2]:
            await call.write(request)
        await cache.until(lambda: bool(store.partial))
        assert await status(cache, name) == (0, False)
        call.cancel()
        await cache.until(lambda: not store.partial)
        assert await status(cache, name) == (0, False)
        assert await write(cache, *cut(name, packed, MIB)) == len(packed)
        assert await status(cache, name) == (len(data), True)  # QWS-01

    async def test_a_stream_that_ends_without_finish_commits_nothing(self, cache, store) -> None:  # BSW-08
        data = cache.noise(100_000)
        for step in (0, 30_000):
            requests = list(cut(write_name(of(data)), pack(data), step))
            requests[-1].finish_write = False
            with refused("closed stream"):
                await write(cache, *requests)
        assert store.blobs == {}

    async def test_what_is_here_is_answered_before_the_client_ends(self, cache, store) -> None:  # BSW-12, BSW-14
        data = cache.noise(3 * MIB)
        store.keep(data)
        call = cache.bytestream.Write()
        await call.write(next(iter(cut(write_name(of(data)), pack(data), MIB))))
        assert (await asyncio.wait_for(call, 60)).committed_size == -1
        assert store.written == 0

    async def test_a_client_that_sends_everything_first_gets_its_answer_too(self, cache, store) -> None:  # BSW-13
        data = cache.noise(3 * MIB)
        store.keep(data)
        assert await write(cache, *cut(write_name(of(data)), pack(data), MIB)) == -1

    async def test_of_sixteen_writers_only_the_corrupt_one_fails(self, cache, store) -> None:  # BSW-15
        data = cache.noise(300_000)
        right, wrong = pack(data), pack(bytes([data[0] ^ 1]) + data[1:])
        outcomes = await asyncio.gather(
            *(write(cache, *cut(write_name(of(data)), wrong if n == 7 else right, 50_000)) for n in range(16)),
            return_exceptions=True,
        )
        assert all(outcome in (len(right), -1) for n, outcome in enumerate(outcomes) if n != 7)
        assert store.blobs == {of(data): data}

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    async def test_any_bytes_are_a_blob_or_an_invalid_argument(self, cache, store, data) -> None:
        compressor = data.draw(st.sampled_from(["zstd", "deflate"]))
        plain = data.draw(st.sampled_from([b"", b"abc" * 50, bytes(70_000)]))
        packed = pack(plain, compressor)
        at = data.draw(st.integers(0, len(packed)))
        sent = packed[:at] + data.draw(st.binary(max_size=20)) + packed[at + data.draw(st.integers(0, 9)) :]
        requests = list(cut(write_name(of(plain), compressor), sent, data.draw(st.sampled_from([0, 5, 64]))))
        outcome = await verdict(cache, *requests)
        assert outcome in (len(sent), -1, Code.INVALID_ARGUMENT)
        assert outcome is Code.INVALID_ARGUMENT or store.blobs.get(of(plain), b"") == plain
        assert not set(store.blobs) - {of(plain) for plain in (b"abc" * 50, bytes(70_000))}


async def update(cache, *entries: tuple[Digest, bytes, int], instance="packed") -> list[int]:
    requests = [
        rx.BatchUpdateBlobsRequest.Request(digest=cache.message(digest), data=data, compressor=number)
        for digest, data, number in entries
    ]
    request = rx.BatchUpdateBlobsRequest(instance_name=instance, requests=requests)
    return [answer.status.code for answer in (await cache.cas.BatchUpdateBlobs(request)).responses]


async def batch_read(
    cache, *digests: Digest, accepts=(), instance="packed"
) -> list[rx.BatchReadBlobsResponse.Response]:
    request = rx.BatchReadBlobsRequest(
        instance_name=instance, digests=[cache.message(digest) for digest in digests], acceptable_compressors=accepts
    )
    return list((await cache.cas.BatchReadBlobs(request)).responses)


class TestBatches:
    async def test_each_blob_has_its_own_compressor(self, cache, store) -> None:  # BUB-05, BUB-06
        plain, zstd, deflate = (cache.noise(n) + bytes(n) for n in (500, 1000, 100_000))
        entries = [(of(plain), plain, 0), (of(zstd), pack(zstd), 1), (of(deflate), pack(deflate, "deflate"), 2)]
        assert await update(cache, *entries, (EMPTY[Function.SHA256], pack(b""), 1)) == [0, 0, 0, 0]
        assert store.blobs == {of(data): data for data in (plain, zstd, deflate)}

    @pytest.mark.parametrize("number", [1, 2])
    async def test_what_is_no_stream_of_the_blob_fails_alone(self, cache, store, number) -> None:  # HC-23
        data = cache.noise(1000)
        packed = pack(data, "zstd" if number == 1 else "deflate")
        bad = [packed[:-1], packed + b"x", b"", data, pack(data[1:]), zeros(250_000) if number == 1 else packed[1:]]
        assert await update(cache, *((of(data), sent, number) for sent in bad)) == [3] * len(bad)
        assert store.blobs == {}

    async def test_other_compressors_fail_for_that_blob(self, cache, store) -> None:  # BUB-06
        assert await update(cache, *((of(b"abc"), b"abc", number) for number in (3, 77, -1, 0))) == [3, 3, 3, 0]
        assert await update(cache, (of(b"abd"), pack(b"abd"), 1), instance="") == [3]

    async def test_the_total_counts_plain_bytes(self, cache, store) -> None:  # BUB-03
        data = bytes(2 * MIB)
        with cache.refuses(INVALID, "max_batch_total_size_bytes"):
            await update(cache, (of(data), pack(data), 1), (of(data), pack(data), 1))
        assert store.blobs == {}
        assert await update(cache, (of(data), pack(data), 1)) == [0]

    @pytest.mark.parametrize(
        ("accepts", "number"), [((1,), 1), ((2,), 2), ((2, 1), 1), ((3, 77), 0), ((77, 2, -5), 2), ((0,), 0), ((), 0)]
    )
    async def test_an_answer_is_compressed_as_the_client_accepts(self, cache, store, accepts, number) -> None:  # BRB-04
        small, large = store.keep(bytes(1000)), store.keep(bytes(MIB))
        for answer, digest in zip(await batch_read(cache, small, large, accepts=accepts), (small, large), strict=True):
            assert (answer.compressor, answer.status.code, answer.HasField("status")) == (number, 0, True)
            plain = unpack(answer.data, ["", "zstd", "deflate"][number]) if number else answer.data
            assert of(plain) == digest

    async def test_what_does_not_shrink_stays_as_it_is(self, cache, store) -> None:
        digests = [store.keep(data) for data in (b"a" * 50, cache.noise(1000), cache.noise(100_000))]
        answers = await batch_read(cache, *digests, EMPTY[Function.SHA256], of(b"absent"), accepts=[1])
        assert [answer.compressor for answer in answers] == [0] * 5
        assert [answer.status.code for answer in answers] == [0, 0, 0, 0, 5]

    async def test_an_instance_that_announces_none_gives_none(self, cache, store) -> None:
        [answer] = await batch_read(cache, store.keep(bytes(1000)), accepts=[1, 2], instance="")
        assert (answer.compressor, answer.data) == (0, bytes(1000))


def test_compressors_are_those_of_the_protocol() -> None:
    assert {compressor.name: number for compressor, number in codec.NUMBERS.items()} == dict(
        rx.Compressor.Value.items()
    )
    assert codec.SERVED == (Compressor.ZSTD, Compressor.DEFLATE)

"""SplitBlob and SpliceBlob from the wire (REAPI v2): chunks are blobs of the same CAS."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from nlserver.errors import Code, Error
from nlserver.fastcdc import Cutter, Sizes
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.transfer.chunking import Chunking

from tests.server.services.conftest import Shelf

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
FAST_CDC = rx.ChunkingFunction.FAST_CDC_2020
SIZES = Sizes.around(4096)
GOOD = "a" * 64


@pytest.fixture
def index(site) -> Shelf:
    return site.named("store", "INDEX")


def cuts(data: bytes) -> list[bytes]:
    cutter = Cutter(SIZES)
    cutter.feed(data)
    return cutter.finish()


async def split_response(cache, blob: Digest, function: int = 0, wish: int = 0, instance="chunked"):
    request = rx.SplitBlobRequest(
        instance_name=instance, blob_digest=cache.message(blob), digest_function=function, chunking_function=wish
    )
    return await cache.cas.SplitBlob(request)


async def split(cache, blob: Digest, function: int = 0) -> list[tuple[str, int]]:
    answer = await split_response(cache, blob, function)
    assert answer.chunking_function == FAST_CDC
    return [(chunk.hash, chunk.size_bytes) for chunk in answer.chunk_digests]


async def splice(cache, blob: Digest, chunks, function: int = 0, by: int = 0, instance="chunked") -> rx.Digest:
    request = rx.SpliceBlobRequest(
        instance_name=instance,
        blob_digest=cache.message(blob),
        chunk_digests=[cache.message(chunk) for chunk in chunks],
        digest_function=function,
        chunking_function=by,
    )
    return (await cache.cas.SpliceBlob(request)).blob_digest


def names(blobs: list[bytes], function: Function = Function.SHA256) -> list[tuple[str, int]]:
    return [of(blob, function)[:2] for blob in blobs]


class TestSplit:
    @pytest.mark.parametrize("function", list(Function))
    async def test_a_blob_is_cut_when_it_is_asked_for(self, cache, store, index, function) -> None:  # SPL-03, SPL-20
        data = cache.noise(300_000)
        blob = store.keep(data, function)
        expected = cuts(data)
        assert await split(cache, blob, int(function)) == names(expected, function)
        assert b"".join(store.blobs[of(chunk, function)] for chunk in expected) == data
        assert set(index.blobs) == {blob}

    async def test_the_second_time_nothing_is_read_and_everything_counts_as_used(self, cache, store) -> None:
        blob = store.keep(cache.noise(300_000))
        first = await split(cache, blob)
        read, store.asked[:] = store.read_bytes, []
        assert await split(cache, blob) == first
        assert store.read_bytes == read
        assert store.asked == [1, len(first)]  # FMB-04: being asked for counts as use

    async def test_wishes_are_wishes(self, cache, store) -> None:  # SPL-04, SPL-10, HD-10
        blob = store.keep(cache.noise(100_000))
        for wish in (0, 1, 2, 55):
            answer = await split_response(cache, blob, wish=wish)
            assert answer.chunking_function == FAST_CDC
            assert len(answer.chunk_digests) > 10

    async def test_a_small_blob_is_its_own_chunk_and_the_empty_one_has_none(self, cache, store) -> None:  # SPL-13
        blob = store.keep(cache.noise(SIZES.most - 1))
        assert await split(cache, blob) == [blob[:2]]
        assert await split(cache, EMPTY[Function.SHA256]) == []

    async def test_an_absent_blob_is_not_found(self, cache, store) -> None:  # SPL-02
        data = cache.noise(100_000)
        blob = store.keep(data)
        with cache.refuses(NOT_FOUND):
            await split(cache, of(b"absent"))
        await split(cache, blob)
        del store.blobs[blob]
        with cache.refuses(NOT_FOUND):
            await split(cache, blob)

    async def test_a_blob_whose_chunk_is_gone_is_cut_again(self, cache, store) -> None:  # SPL-02, SPL-20
        data = cache.noise(100_000)
        blob = store.keep(data)
        chunks = await split(cache, blob)
        del store.blobs[of(cuts(data)[3])]
        assert await split(cache, blob) == chunks
        assert of(cuts(data)[3]) in store.blobs

    @pytest.mark.parametrize(
        "found",
        [
            b"\xff\xff",
            b"",
            rx.SplitBlobResponse(chunk_digests=[rx.Digest(hash="x", size_bytes=1)]).SerializeToString(),
            rx.SplitBlobResponse(chunk_digests=[rx.Digest(hash=GOOD, size_bytes=100_000)]).SerializeToString(),
            rx.SplitBlobResponse(chunk_digests=[rx.Digest(hash=GOOD, size_bytes=10_000)] * 9).SerializeToString(),
            bytes(5 << 20),
        ],
    )
    async def test_an_index_that_cannot_be_right_is_not_believed(self, cache, store, index, found) -> None:
        data = cache.noise(100_000)
        blob = store.keep(data)
        index.blobs[blob] = found
        assert await split(cache, blob) == names(cuts(data))
        assert index.blobs[blob] != found

    async def test_a_blob_with_too_many_chunks_is_not_split(self, cache, store, index) -> None:  # SPL-19
        assert await split(cache, store.keep(bytes(201 * 4096))) == []
        assert store.read_bytes == 0
        pieces = cuts(cache.noise(300_000))
        at = min(range(len(pieces) - 1), key=lambda place: len(pieces[place]))
        # The bytes after a cut decide on it, and the first of a piece on nothing: so this one is cut out each time.
        small = pieces[at + 1][:2] + pieces[at][2:]
        data = small * 400
        assert cuts(data) == [small] * 400
        assert len(data) < 200 * 4096
        assert await split(cache, store.keep(data)) == []
        assert index.blobs == {}

    async def test_many_who_ask_at_once_share_one_job(self, cache, store) -> None:  # HC-34
        data = cache.noise(500_000)
        blob = store.keep(data)
        answers = await asyncio.gather(*(split(cache, blob) for _ in range(20)))
        assert answers == [names(cuts(data))] * 20
        assert store.read_bytes == len(data)

    async def test_more_blobs_than_can_be_cut_are_refused(self, cache, store, index) -> None:  # HC-34
        chunked = Chunking(store, index, 4096, 200, most_jobs=3)
        blobs = [store.keep(cache.noise(100_000, n)) for n in range(6)]
        outcomes = await asyncio.gather(*(chunked.split(blob) for blob in blobs), return_exceptions=True)
        assert all(isinstance(outcome, list) for outcome in outcomes[:3])
        assert {outcome.code for outcome in outcomes[3:]} == {Code.RESOURCE_EXHAUSTED}
        assert await chunked.split(blobs[-1])

    async def test_closing_ends_the_jobs(self, cache, store, index) -> None:
        chunked = Chunking(store, index, 4096, 5000)
        asking = asyncio.create_task(chunked.split(store.keep(bytes(16 << 20))))
        await cache.until(lambda: store.open_reads == 1)
        await chunked.close()
        assert store.open_reads == 0
        await asyncio.gather(asking, return_exceptions=True)

    async def test_a_client_that_leaves_leaves_the_job_running(self, cache, store, index) -> None:
        blob = store.keep(cache.noise(800_000))
        request = rx.SplitBlobRequest(instance_name="chunked", blob_digest=cache.message(blob))
        call = cache.cas.SplitBlob(request)
        await cache.until(lambda: store.open_reads == 1)
        call.cancel()
        await cache.until(lambda: blob in index.blobs)

    async def test_a_damaged_blob_is_not_cut(self, cache, store, index) -> None:
        for wrong in (cache.noise(100_000, 1), cache.noise(99_999), cache.noise(100_001)):
            blob = of(cache.noise(100_000))
            store.blobs[blob] = wrong
            with cache.refuses(grpc.StatusCode.DATA_LOSS):
                await split(cache, blob)
        assert index.blobs == {}

    async def test_chunks_without_room_say_so(self, cache, store) -> None:  # SPL-05
        blob = store.keep(cache.noise(100_000))
        store.failure = Error(Code.RESOURCE_EXHAUSTED, "the disk is full")
        with cache.refuses(grpc.StatusCode.RESOURCE_EXHAUSTED, "the disk is full"):
            await split(cache, blob)

    async def test_an_index_without_room_costs_only_time(self, cache, store, index) -> None:
        data = cache.noise(100_000)
        blob = store.keep(data)
        index.failure = Error(Code.RESOURCE_EXHAUSTED, "the disk is full")
        assert await split(cache, blob) == names(cuts(data))

    async def test_a_function_that_is_not_stated_is_found_out(self, cache, store) -> None:  # SPL-12
        data = cache.noise(100_000)
        assert await split(cache, store.keep(data, Function.BLAKE3)) == names(cuts(data), Function.BLAKE3)


class TestSplice:
    @pytest.mark.parametrize("function", list(Function))
    @pytest.mark.parametrize("stated", [True, False])
    async def test_chunks_become_a_blob(self, cache, store, function, stated) -> None:  # SPL-06, SPL-11, SPL-12
        parts = [cache.noise(n, n) for n in (1, 70_000, 1, 3_000_000)]
        whole = b"".join(parts)
        chunks = [store.keep(part, function) for part in parts]
        blob = of(whole, function)
        answer = await splice(cache, blob, chunks, int(function) if stated else 0)
        assert answer == cache.message(blob)
        assert store.blobs[blob] == whole

    async def test_a_chunk_may_come_again(self, cache, store) -> None:  # HC-32
        chunk = store.keep(b"ab")
        await splice(cache, of(b"ab" * 100), [chunk] * 100)
        assert store.blobs[of(b"ab" * 100)] == b"ab" * 100

    async def test_another_order_is_refused_and_nothing_kept(self, cache, store) -> None:  # SPL-06
        a, b = store.keep(b"a" * 1000), store.keep(b"b" * 1000)
        blob = of(b"b" * 1000 + b"a" * 1000)
        with cache.refuses(INVALID, "Hash verification"):
            await splice(cache, blob, [a, b])
        await cache.until(lambda: not store.partial)
        assert blob not in store.blobs

    async def test_an_absent_chunk_is_not_found(self, cache, store) -> None:  # SPL-07
        a, absent = store.keep(b"a"), of(b"b")
        with cache.refuses(NOT_FOUND):
            await splice(cache, of(b"ab"), [a, absent])
        lost = [Digest(f"{n:064x}", 1) for n in range(1, 200)]
        with cache.refuses(NOT_FOUND, "199 chunks"):
            await splice(cache, Digest(GOOD, 199), lost)

    async def test_a_blob_that_is_here_is_ok_whatever_its_chunks(self, cache, store) -> None:  # SPL-08
        data = cache.noise(10_000)
        blob = of(data)
        halves = [store.keep(data[:5000]), store.keep(data[5000:])]
        thirds = [store.keep(data[:3000]), store.keep(data[3000:])]
        for chunks in (halves, thirds, halves, [blob], [Digest(GOOD, 10_000)]):
            assert await splice(cache, blob, chunks) == cache.message(blob)
        assert store.written == 1

    async def test_a_blob_cannot_be_made_of_itself(self, cache, store) -> None:  # HC-32
        with cache.refuses(NOT_FOUND):
            await splice(cache, of(b"abc"), [of(b"abc")])

    async def test_sizes_are_checked_before_anything_is_read(self, cache, store) -> None:  # SPL-09, HD-02, HD-03, HC-32
        a = store.keep(b"a" * 10)
        huge = Digest(GOOD, 2**62)
        for blob, chunks in (
            (Digest(GOOD, 21), [a, a]),
            (Digest(GOOD, 19), [a, a]),
            (Digest(GOOD, 10), []),
            (EMPTY[Function.SHA256], [a]),
            (Digest(GOOD, 2**62), [huge] * 4),
            (Digest(GOOD, 2**63 - 1), [huge] * 2),
            (Digest(GOOD, 10), [a, EMPTY[Function.SHA256]]),
            (Digest(GOOD, 201), [store.keep(b"x")] * 201),
        ):
            with cache.refuses(INVALID):
                await splice(cache, blob, chunks)
        assert store.read_bytes == 0

    async def test_digests_must_be_whole(self, cache, store) -> None:  # SPL-09, HD-09
        with cache.refuses(INVALID):
            await cache.cas.SpliceBlob(rx.SpliceBlobRequest(instance_name="chunked"))
        with cache.refuses(INVALID):
            await cache.cas.SplitBlob(rx.SplitBlobRequest(instance_name="chunked"))
        for bad in (Digest("x", 3), Digest(GOOD, -3), Digest(GOOD.upper(), 3)):
            with cache.refuses(INVALID):
                await splice(cache, of(b"abc"), [bad])
        with cache.refuses(INVALID, "digest function"):
            await splice(cache, of(b"abc"), [of(b"abc")], function=5)

    async def test_the_empty_blob_is_made_of_nothing(self, cache, store) -> None:  # SPL-09
        await splice(cache, EMPTY[Function.SHA256], [])
        assert store.blobs == {}

    async def test_a_chunk_that_is_damaged_makes_no_blob(self, cache, store) -> None:
        data = cache.noise(5000)
        chunks = [store.keep(data[:3000]), store.keep(data[3000:])]
        store.blobs[chunks[0]] = data[:2999]
        with cache.refuses(grpc.StatusCode.DATA_LOSS):
            await splice(cache, of(data), chunks)
        assert of(data) not in store.blobs

    async def test_what_was_cut_as_announced_need_not_be_cut_again(self, cache, store, index) -> None:
        data = cache.noise(100_000)
        chunks = [store.keep(chunk) for chunk in cuts(data)]
        await splice(cache, of(data), chunks, by=FAST_CDC)
        read = store.read_bytes
        assert await split(cache, of(data)) == names(cuts(data))
        assert store.read_bytes == read

    @pytest.mark.parametrize("by", [0, 1, 2, 77])
    async def test_a_chunk_past_the_announced_size_is_not_given_back(self, cache, store, by) -> None:  # SPL-19
        data = cache.noise(100_000)
        await splice(cache, of(data), [store.keep(data[:90_000]), store.keep(data[90_000:])], by=by)
        assert await split(cache, of(data)) == names(cuts(data))


async def test_an_instance_without_chunking_has_neither(cache) -> None:  # SPL-01
    for instance in ("", "packed"):
        with cache.refuses(grpc.StatusCode.UNIMPLEMENTED):
            await split_response(cache, of(b"abc"), instance=instance)
        with cache.refuses(grpc.StatusCode.UNIMPLEMENTED):
            await splice(cache, of(b"abc"), [of(b"abc")], instance=instance)
    with cache.refuses(INVALID, "not configured"):
        await split_response(cache, of(b"abc"), instance="nope")

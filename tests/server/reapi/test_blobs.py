import asyncio
import random
from contextlib import aclosing

import grpc
import pytest
from nlserver.errors import Code, Error, invalid
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.blobs import MOST_BATCH_BYTES, Blobs
from nlserver.reapi.channel import dial
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.reapi.endpoint import RetrySpec
from nlserver.reapi.tree import message_of
from nlserver.store import Missing

from tests.server.reapi.conftest import SOON
from tests.server.reapi.peer import Fault, Peer

NOISE = random.Random(3).randbytes(2_500_000)
BIG = of(NOISE)
ABSENT = of(b"nobody has this")


@pytest.fixture
async def blobs(peer: Peer):
    channel = dial(peer.address, retry=SOON)
    made = Blobs(channel, "main/a", timeout_seconds=5)
    yield made
    await made.close()
    await channel.close()


async def whole(blobs: Blobs, digest: Digest, offset: int = 0, limit: int | None = None) -> bytes:
    async with aclosing(blobs.read(digest, offset, limit)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def chunked(data: bytes, size: int = 300_000):
    for start in range(0, len(data), size):
        yield data[start : start + size]


def from_memory(data: bytes):
    return lambda offset: chunked(data[offset:])


async def test_what_was_put_is_got(blobs: Blobs, peer: Peer):
    for data in (b"", b"a", NOISE[:70_000], NOISE):
        for function in Function:
            await blobs.put(of(data, function), data)
            assert await blobs.get(of(data, function)) == data
            assert await whole(blobs, of(data, function)) == data


async def test_names_carry_the_instance_and_the_function_where_it_is_needed(blobs: Blobs, peer: Peer):
    peer.keep(NOISE)
    peer.keep(NOISE, Function.BLAKE3)
    await whole(blobs, BIG)
    await whole(blobs, of(NOISE, Function.BLAKE3))
    blake3 = of(NOISE, Function.BLAKE3).hash
    assert peer.names == [f"main/a/blobs/{BIG.hash}/2500000", f"main/a/blobs/blake3/{blake3}/2500000"]


async def test_missing_is_what_the_server_lacks(blobs: Blobs, peer: Peer):
    here, b3 = peer.keep(b"1"), peer.keep(b"1", Function.BLAKE3)
    other = of(b"2", Function.BLAKE3)
    assert await blobs.missing([here, b3, other, ABSENT, ABSENT, EMPTY[Function.SHA256]]) == {other, ABSENT}
    assert await blobs.missing([]) == set()
    assert await blobs.missing([EMPTY[Function.SHA256]]) == set()


async def test_twenty_five_thousand_digests_are_asked_for_in_three_calls(blobs: Blobs, peer: Peer):
    digests = [of(b"%d" % number) for number in range(25_000)]
    assert await blobs.missing(digests) == set(digests)
    assert peer.calls["FindMissingBlobs"] == 3


async def test_small_questions_asked_together_are_one_call_each(blobs: Blobs, peer: Peer):
    data = [b"%d" % number for number in range(500)]
    await asyncio.gather(*(blobs.put(of(one), one) for one in data))
    assert await asyncio.gather(*(blobs.get(of(one)) for one in data)) == data
    answers = await asyncio.gather(*(blobs.missing([of(one), ABSENT]) for one in data))
    assert answers == [{ABSENT}] * 500
    calls = [peer.calls[name] for name in ("BatchUpdateBlobs", "BatchReadBlobs", "FindMissingBlobs")]
    assert max(calls) <= 3


async def test_batches_keep_the_limit_that_the_server_announces(blobs: Blobs, peer: Peer):
    peer.batch_limit = 1000
    data = [bytes([number]) * 300 for number in range(20)]
    await asyncio.gather(*(blobs.put(of(one), one) for one in data))
    await asyncio.gather(*(blobs.get(of(one)) for one in data))
    assert max(peer.batches) == 900
    assert await blobs.batch_limit() == 1000
    assert peer.calls["GetCapabilities"] == 1


async def test_messages_stay_below_the_usual_limit_of_four_mebibytes(blobs: Blobs, peer: Peer):
    large = [NOISE[number : number + 250_000] for number in range(30)]
    small = [NOISE[number : number + 890] for number in range(5000)]
    await asyncio.gather(*(blobs.put(of(one), one) for one in [*large, *small]), blobs.put(BIG, NOISE))
    assert 3 << 20 < max(peer.batches) <= MOST_BATCH_BYTES
    assert peer.largest_message < 4 << 20


async def test_a_server_without_batches_and_capabilities_gets_streams(blobs: Blobs, peer: Peer):
    for method in ("GetCapabilities", "BatchUpdateBlobs", "BatchReadBlobs"):
        peer.faults[method].extend([Fault(grpc.StatusCode.UNIMPLEMENTED)] * 3)
    await blobs.put(of(b"abc"), b"abc")
    assert await blobs.get(of(b"abc")) == b"abc"
    assert await blobs.get_many([of(b"abc"), EMPTY[Function.SHA256]]) == [b"abc", b""]
    assert await blobs.put_many([(of(b"x"), b"x")]) == [None]
    assert peer.calls["Write"] == 2
    assert peer.calls["BatchUpdateBlobs"] == 1


async def test_what_is_absent_is_missing_however_it_is_asked_for(blobs: Blobs):
    for work in (blobs.get(ABSENT), whole(blobs, ABSENT), whole(blobs, of(NOISE[1:]))):
        with pytest.raises(Missing) as raised:
            await work
        assert len(raised.value.keys) == 1
    (error,) = await blobs.get_many([ABSENT])
    assert isinstance(error, Missing)


async def test_one_absent_blob_fails_alone(blobs: Blobs, peer: Peer):
    here = peer.keep(b"here")
    found = await asyncio.gather(blobs.get(here), blobs.get(ABSENT), return_exceptions=True)
    assert found[0] == b"here"
    assert isinstance(found[1], Missing)


async def test_wrong_data_is_never_given(blobs: Blobs, peer: Peer):
    small, large = peer.keep(b"right"), peer.keep(NOISE)
    peer.lies = {small: b"wrong", large: NOISE[:-1] + b"x"}
    for work in (blobs.get(small), whole(blobs, small), whole(blobs, large), blobs.get(large)):
        with pytest.raises(Error) as raised:
            await work
        assert raised.value.code is Code.DATA_LOSS


async def test_more_data_than_the_digest_says_is_refused(blobs: Blobs, peer: Peer):
    digest = peer.keep(NOISE)
    peer.lies = {digest: NOISE + b"more"}
    with pytest.raises(Error) as raised:
        await whole(blobs, digest)
    assert raised.value.code is Code.DATA_LOSS
    assert peer.calls["Read"] == 1


@pytest.mark.parametrize(("offset", "limit"), [(0, 10), (1, None), (2_499_999, 5), (1_000_000, 1_000_000), (7, 0)])
async def test_ranges_are_exact(blobs: Blobs, peer: Peer, offset, limit):
    peer.keep(NOISE)
    end = None if limit is None else offset + limit
    assert await whole(blobs, BIG, offset, limit) == NOISE[offset:end]


async def test_a_broken_download_goes_on_where_it_broke(blobs: Blobs, peer: Peer):
    peer.keep(NOISE)
    peer.cut_reads.extend([1_000_000, 500_000, 500_000, 200_000, 100_000])
    assert await whole(blobs, BIG) == NOISE
    assert peer.calls["Read"] == 6


async def test_a_download_that_ends_too_early_goes_on(blobs: Blobs, peer: Peer):
    peer.keep(NOISE)
    peer.short_reads.extend([1_000_000, 100_000])
    assert await whole(blobs, BIG) == NOISE


async def test_a_broken_range_goes_on_within_the_range(blobs: Blobs, peer: Peer):
    peer.keep(NOISE)
    peer.cut_reads.append(400_000)
    assert await whole(blobs, BIG, 100, 1_000_000) == NOISE[100:1_000_100]


async def test_a_download_that_makes_no_progress_is_given_up(blobs: Blobs, peer: Peer):
    peer.keep(NOISE)
    peer.faults["Read"].extend([Fault(grpc.StatusCode.UNAVAILABLE)] * 10)
    with pytest.raises(Error) as raised:
        await whole(blobs, BIG)
    assert raised.value.code is Code.UNAVAILABLE
    assert peer.calls["Read"] == 4


async def test_a_broken_upload_goes_on_where_the_server_says(blobs: Blobs, peer: Peer):
    peer.cut_writes.extend([900_000, 900_000])
    opened = []

    def reopen(offset):
        opened.append(offset)
        return chunked(NOISE[offset:])

    await blobs.write(BIG, reopen)
    assert peer.blobs[BIG] == NOISE
    assert opened[0] == 0
    assert opened[1] >= 900_000
    assert opened[2] >= 1_800_000


async def test_an_upload_begins_anew_where_the_server_cannot_resume(blobs: Blobs, peer: Peer):
    peer.resumes = False
    peer.cut_writes.append(900_000)
    await blobs.write(BIG, from_memory(NOISE))
    assert peer.blobs[BIG] == NOISE


async def test_an_upload_that_somebody_else_finished_is_done(blobs: Blobs, peer: Peer):
    peer.cut_writes.append(900_000)
    peer.keep(NOISE)
    await blobs.write(BIG, from_memory(NOISE))
    assert peer.calls["Write"] == 1


async def test_a_server_may_answer_before_everything_is_sent(blobs: Blobs, peer: Peer):
    peer.early = True
    peer.keep(NOISE)
    await blobs.write(BIG, from_memory(NOISE))


async def test_a_server_that_kept_another_size_is_not_believed(blobs: Blobs, peer: Peer):
    peer.committed = 17
    peer.faults["QueryWriteStatus"].extend([Fault(grpc.StatusCode.NOT_FOUND)] * 9)
    with pytest.raises(Error, match="kept 17 of 2500000"):
        await blobs.write(BIG, from_memory(NOISE))


async def test_an_upload_that_the_server_refuses_is_not_repeated(blobs: Blobs, peer: Peer):
    for work in (blobs.put(ABSENT, b"nobody has thiS"), blobs.write(BIG, from_memory(NOISE[:-1] + b"?"))):
        with pytest.raises(Error) as raised:
            await work
        assert raised.value.code is Code.INVALID_ARGUMENT
    assert peer.blobs == {}


async def test_the_code_of_a_refusal_survives_though_bytes_are_on_their_way(blobs: Blobs, peer: Peer):
    for _ in range(20):
        peer.faults["Write"].append(Fault(grpc.StatusCode.PERMISSION_DENIED, "read only"))
        with pytest.raises(Error, match="read only") as raised:
            await blobs.write(BIG, from_memory(NOISE))
        assert raised.value.code is Code.PERMISSION_DENIED


@pytest.mark.parametrize("data", [NOISE[:-1], NOISE + b"x", b""])
async def test_a_source_of_another_size_is_refused_and_nothing_is_kept(blobs: Blobs, peer: Peer, data):
    with pytest.raises(Error) as raised:
        await blobs.write(BIG, from_memory(data))
    assert raised.value.code is Code.INVALID_ARGUMENT
    assert peer.blobs == {}


async def test_a_failure_of_the_source_comes_out_as_it_is_and_is_not_repeated(blobs: Blobs, peer: Peer):
    failure = Error(Code.UNAVAILABLE, "the disk is gone")

    async def broken(offset):
        yield NOISE[:1000]
        raise failure

    with pytest.raises(Error) as raised:
        await blobs.write(BIG, broken)
    assert raised.value is failure
    assert peer.calls["Write"] <= 1


async def test_an_unexpected_failure_of_the_source_ends_the_call(blobs: Blobs, peer: Peer):
    async def broken(offset):
        yield NOISE[:1000]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await blobs.write(BIG, broken)
    async with asyncio.timeout(60):
        while peer.busy:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_reader_that_stops_early_ends_the_call(blobs: Blobs, peer: Peer):
    peer.keep(NOISE)
    async with aclosing(blobs.read(BIG)) as chunks:
        assert await anext(chunks)
    assert await whole(blobs, BIG) == NOISE


async def test_a_cancelled_upload_leaves_nothing(blobs: Blobs, peer: Peer):
    reached = asyncio.Event()

    async def stuck(offset):
        yield NOISE[:1000]
        reached.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(blobs.write(BIG, stuck))
    await reached.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert peer.blobs == {}


async def test_refusals_inside_a_batch_are_verdicts(blobs: Blobs, peer: Peer):
    verdicts = await blobs.put_many([(of(b"a"), b"a"), (ABSENT, b"nobody has thiS")])
    assert verdicts[0] is None
    assert isinstance(verdicts[1], Error)
    assert verdicts[1].code is invalid("").code


async def test_without_retries_the_first_failure_counts(peer: Peer):
    channel = dial(peer.address, retry=RetrySpec())
    blobs = Blobs(channel)
    peer.faults["FindMissingBlobs"].append(Fault(grpc.StatusCode.UNAVAILABLE))
    with pytest.raises(Error):
        await blobs.missing([ABSENT])
    await blobs.close()
    await channel.close()


async def test_a_broken_tree_goes_on_after_its_last_page(blobs: Blobs, peer: Peer):
    root = Digest(EMPTY[Function.SHA256].hash, 0)
    for number in range(5):
        node = re_pb.DirectoryNode(name=f"d{number}", digest=message_of(root))
        root = peer.keep(re_pb.Directory(directories=[node]).SerializeToString())
    peer.cut_trees.extend([1, 1, 0, 1, 1])
    found = [directory async for directory in blobs.tree(root)]
    assert [one.directories[0].name for one in found if one.directories] == ["d4", "d3", "d2", "d1", "d0"]
    assert len(found) == 6
    assert peer.calls["GetTree"] > 5


async def test_blobs_are_split_and_spliced_where_the_server_does_it(blobs: Blobs, peer: Peer):
    for function in Function:
        whole_blob = peer.keep(b"abcdef", function)
        chunks = [peer.keep(part, function) for part in (b"abc", b"def")]
        peer.chunks[whole_blob] = chunks
        assert await blobs.split(whole_blob) == chunks
        await blobs.splice(of(b"defabc", function), chunks[::-1])
        assert peer.has(of(b"defabc", function))
    assert await blobs.split(chunks[0]) == []
    peer.faults["SpliceBlob"].append(Fault(grpc.StatusCode.ALREADY_EXISTS))
    await blobs.splice(whole_blob, chunks)
    for work in (blobs.split(ABSENT), blobs.splice(of(b"x"), [ABSENT])):
        with pytest.raises(Missing):
            await work
    with pytest.raises(Error, match="another hash"):
        await blobs.splice(of(b"x", chunks[0].function), chunks)

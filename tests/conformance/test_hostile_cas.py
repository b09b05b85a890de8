"""HC: hostile CAS and ByteStream calls."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import zstandard
from google.protobuf.message import Message

from tests.conformance.calls import code_of
from tests.conformance.catalogue import rule
from tests.conformance.frames import Wire, framed
from tests.conformance.own import HASTY_INSTANCE, HERE, Own, Process, file_sizes
from tests.conformance.target import (
    REAPI,
    Code,
    Feed,
    Target,
    bs,
    digest,
    fresh,
    key,
    messages,
    not_applicable,
    refused,
    rx,
    status_of,
    until,
)
from tests.conformance.unpacking import packed

MIB = 1 << 20
CAS = f"/{REAPI}.ContentAddressableStorage"
READ = "/google.bytestream.ByteStream/Read"
WRITE = "/google.bytestream.ByteStream/Write"
TOO_MUCH = (Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED)
INVALID = Code.INVALID_ARGUMENT.value[0]


@pytest.fixture
def zstd(target: Target) -> Target:
    """A server that takes zstd."""
    return target if "zstd" in target.compressors else not_applicable("zstd is not announced")


@pytest.fixture
def deflate(target: Target) -> Target:
    """A server that takes deflate."""
    return target if "deflate" in target.compressors else not_applicable("deflate is not announced")


def entries(number: int, message: Message, times: int) -> bytes:
    """A repeated field of a request as it stands on the wire, the same entry over and over."""
    data = message.SerializeToString()
    return (bytes([number << 3 | 2, len(data)]) + data) * times


@rule("HC-01")
def test_a_million_digests_are_refused(target: Target) -> None:
    with refused(*TOO_MUCH):
        target.raw(f"{CAS}/FindMissingBlobs", entries(2, digest(fresh(32)), 1_000_000))


@rule("HC-01")
def test_a_hundred_thousand_digests_are_looked_up_while_others_are_served(target: Target) -> None:
    absent = [rx.Digest(hash=f"{number:064x}", size_bytes=7) for number in range(1, 50_001)]
    request = rx.FindMissingBlobsRequest(instance_name=target.instance, blob_digests=[*absent, *[digest(b"")] * 50_000])
    call = target.cas.FindMissingBlobs.future(request)
    asked = 0
    while not call.done():
        assert target.is_present(digest(b""))
        asked += 1
    assert len(call.result().missing_blob_digests) == len(absent)
    assert asked > 0


@rule("HC-02")
@pytest.mark.parametrize(
    ("method", "entry"),
    [("FindMissingBlobs", b"\x12\0"), ("BatchUpdateBlobs", b"\x12\0"), ("BatchReadBlobs", b"\x12\0")],
)
def test_two_million_empty_entries_are_refused(target: Target, method: str, entry: bytes) -> None:
    with refused(*TOO_MUCH):
        target.raw(f"{CAS}/{method}", entry * 2_000_000)


@rule("HC-02")
def test_two_million_empty_entries_take_bounded_memory(target: Target, own: Own) -> None:
    with own.server.grows_by_at_most(500 * MIB), refused(*TOO_MUCH):
        target.raw(f"{CAS}/FindMissingBlobs", b"\x12\0" * 2_000_000)


@rule("HC-03")
def test_batches_above_the_total_and_of_a_hundred_thousand_blobs_are_refused(target: Target) -> None:
    with refused(*TOO_MUCH):
        target.update(fresh(3 * MIB), fresh(3 * MIB))
    one = rx.BatchUpdateBlobsRequest.Request(digest=digest(b"x"), data=b"x")
    with refused(*TOO_MUCH):
        target.cas.BatchUpdateBlobs(rx.BatchUpdateBlobsRequest(instance_name=target.instance, requests=[one] * 100_000))


@rule("HC-04")
def test_one_large_blob_a_thousand_times_is_refused_or_comes_once(target: Target) -> None:
    data = fresh(3 * MIB)
    wanted = target.put(data)
    request = rx.BatchReadBlobsRequest(instance_name=target.instance, digests=[wanted] * 1000)
    code = code_of(lambda: target.cas.BatchReadBlobs(request))
    assert code in (Code.INVALID_ARGUMENT, Code.OK)
    if code is Code.OK:
        (answer,) = target.get(*[wanted] * 1000)
        assert answer.data == data


@rule("HC-05", "HC-06")
@pytest.mark.parametrize(
    ("declared", "sent"), [(3, 4), (3, 10 * MIB), (MIB, MIB + 1), (3, 2), (3 * MIB, 0), (3 * MIB, MIB)]
)
def test_more_and_less_data_than_declared_is_refused(target: Target, declared: int, sent: int) -> None:
    wanted = digest(fresh(declared))
    with refused(Code.INVALID_ARGUMENT):
        target.write(target.write_name(wanted), fresh(sent), 100_000)
    assert not target.is_present(wanted)


@rule("HC-07")
@pytest.mark.parametrize("offset", [0, 1, 2 * MIB, -1, -(2**63), 2**63 - 1, 2**62])
def test_offsets_that_do_not_continue_are_refused_and_leave_no_holes(target: Target, own: Own, offset: int) -> None:
    data = fresh(3 * MIB)
    name = target.write_name(digest(data))
    with refused(Code.INVALID_ARGUMENT, Code.OUT_OF_RANGE):
        target.send(
            [
                bs.WriteRequest(resource_name=name, data=data[:MIB]),
                bs.WriteRequest(write_offset=offset, data=data[MIB:], finish_write=True),
            ]
        )
    assert not target.is_present(digest(data))
    assert own.server.unfinished_bytes("cas") < 1 << 30


@rule("HC-08", "HC-09")
def test_another_name_in_mid_stream_and_data_after_the_end_are_refused(target: Target) -> None:
    data, other = fresh(2 * MIB), fresh(2 * MIB)
    first = bs.WriteRequest(resource_name=target.write_name(digest(data)), data=data[:MIB])
    for second in (target.write_name(digest(other)), "nonsense", first.resource_name + "/x"):
        with refused(Code.INVALID_ARGUMENT):
            target.send(
                [first, bs.WriteRequest(resource_name=second, write_offset=MIB, data=data[MIB:], finish_write=True)]
            )
    last = bs.WriteRequest(write_offset=MIB, data=data[MIB:], finish_write=True)
    with refused(Code.INVALID_ARGUMENT):
        target.send([first, last, bs.WriteRequest(write_offset=2 * MIB, data=b"x", finish_write=True)])


@rule("HC-10")
def test_an_upload_of_no_messages_is_refused(target: Target) -> None:
    with refused(Code.INVALID_ARGUMENT):
        target.send([])


@rule("HC-11")
def test_uploads_that_send_nothing_more_hold_little_and_hinder_nobody(target: Target, own: Own) -> None:
    before = own.server.open_files
    feeds = [Feed() for _ in range(300)]
    with own.server.grows_by_at_most(100 * MIB):
        calls = [target.bytestream.Write.future(iter(feed)) for feed in feeds]
        for number, feed in enumerate(feeds):
            name = target.write_name(digest(str(number).encode() * 1000))
            feed.say(bs.WriteRequest(resource_name=name, data=b"1"))
        data = fresh(2 * MIB)
        assert target.write(target.write_name(digest(data)), data) == len(data)
        for feed, call in zip(feeds, calls, strict=True):
            call.cancel()
            feed.end()
    assert until(lambda: own.server.open_files <= before + 5)


@pytest.mark.slow
@rule("HC-11", "HC-25")
def test_who_sends_nothing_and_who_takes_nothing_is_sent_away_after_two_minutes(target: Target, own: Own) -> None:
    wanted = target.put(fresh(64 * MIB))
    with Feed() as feed, Wire(target.address) as reader:
        call = target.bytestream.Write.future(iter(feed), timeout=200)
        data = fresh(3 * MIB)
        feed.say(bs.WriteRequest(resource_name=target.write_name(digest(data)), data=data[:MIB]))
        request = bs.ReadRequest(resource_name=target.read_name(wanted)).SerializeToString()
        # The windows of this reader are never opened again.
        number = reader.begin(READ)
        reader.http.send_data(number, framed(request), end_stream=True)
        reader.flush()
        assert call.code() in (Code.DEADLINE_EXCEEDED, Code.ABORTED)
        reader.socket.settimeout(60)
        assert reader.status(number) in (None, Code.DEADLINE_EXCEEDED.value[0])


@rule("HC-12")
def test_a_thousand_abandoned_uploads_leave_room_for_new_ones(target: Target, own: Own) -> None:
    with own.server.grows_by_at_most(100 * MIB):
        for number in range(1000):
            name = target.write_name(digest(b"%d" % number * 100), instance=HASTY_INSTANCE)
            feed = Feed()
            call = target.bytestream.Write.future(iter(feed))
            feed.say(bs.WriteRequest(resource_name=name, data=b"%d" % number))
            call.cancel()
            feed.end()
        data = fresh(2 * MIB)
        assert target.write(target.write_name(digest(data), instance=HASTY_INSTANCE), data) == len(data)
    assert until(lambda: own.server.unfinished_bytes("hasty") == 0)


@rule("HC-13", "HC-14")
def test_one_id_for_different_blobs_and_different_data_for_one_name_at_once(target: Target) -> None:
    right, wrong = fresh(2 * MIB), fresh(2 * MIB)
    other = fresh(2 * MIB)
    upload_id = "00000000-0000-4000-8000-000000000000"
    name, other_name = (target.write_name(digest(data), upload_id=upload_id) for data in (right, other))
    sent = [(name, right), (name, wrong), (other_name, other)] * 4

    def upload(one: tuple[str, bytes]) -> grpc.StatusCode:
        return status_of(lambda: target.write(one[0], one[1], 150_000)).code

    with ThreadPoolExecutor(12) as threads:
        codes = list(threads.map(upload, sent))
    for (place, data), code in zip(sent, codes, strict=True):
        if place == other_name:
            assert code is Code.OK
        elif data == wrong:
            # Where one id means one upload, streams of it may end each other; no wrong byte may get through.
            assert code in (Code.INVALID_ARGUMENT, Code.OK, Code.ABORTED)
    assert target.write(name, right) == len(right)
    assert target.read(target.read_name(digest(right))) == right
    assert not target.is_present(digest(wrong))


def repeated(frame: bytes, times: int, name: str) -> Iterator[bs.WriteRequest]:
    """An upload of the same bytes over and over, in messages of about a mebibyte."""
    chunk = frame * max(1, MIB // len(frame))
    whole, rest = divmod(times, max(1, MIB // len(frame)))
    offset = 0
    for piece in [chunk] * whole + [frame * rest]:
        yield bs.WriteRequest(resource_name="" if offset else name, write_offset=offset, data=piece)
        offset += len(piece)
    yield bs.WriteRequest(resource_name="" if offset else name, write_offset=offset, finish_write=True)


@rule("HC-16")
def test_a_zstd_bomb_is_refused_in_little_memory(zstd: Target, own: Own) -> None:
    wanted = digest(fresh(MIB))
    name = zstd.write_name(wanted, compressor="zstd")
    frame = zstandard.ZstdCompressor().compress(bytes(64 * MIB))
    single = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 30))
    with own.server.grows_by_at_most(80 * MIB):
        with refused(Code.INVALID_ARGUMENT):
            zstd.send(repeated(frame, 160, name))
        with refused(Code.INVALID_ARGUMENT):
            zstd.write(name, single)
    assert not zstd.is_present(wanted)


def zstd_header(descriptor: int, rest: bytes) -> bytes:
    return struct.pack("<IB", 0xFD2FB528, descriptor) + rest


@rule("HC-17", "HC-18")
def test_zstd_frames_that_demand_enormous_memory_are_refused(zstd: Target, own: Own) -> None:
    last_raw_block = struct.pack("<I", (3 << 3) | 1)[:3] + b"abc"
    demands = {
        # A window of 2 GiB: exponent 21 above 10.
        "window": zstd_header(0x00, bytes([21 << 3]) + last_raw_block),
        # The content size in 8 bytes, with a window of 1 KiB, and as a single segment that is its own window.
        "content": zstd_header(0xC0, b"\0" + struct.pack("<Q", 2**62) + last_raw_block),
        "segment": zstd_header(0xE0, struct.pack("<Q", 2**62) + last_raw_block),
    }
    # As large a window of 1 GiB and noise all over it, so that a decoder that agrees really has to take it.
    with own.server.grows_by_at_most(300 * MIB):
        for what, form in demands.items():
            wanted = digest(b"abc")
            wanted.size_bytes = 3
            code = status_of(
                lambda form=form, wanted=wanted: zstd.write(zstd.write_name(wanted, compressor="zstd"), form)
            ).code
            assert code in (Code.INVALID_ARGUMENT, Code.OK), what
            large = digest(fresh(5 * MIB))
            with refused(Code.INVALID_ARGUMENT):
                zstd.write(zstd.write_name(large, compressor="zstd"), form)


@rule("HC-19")
def test_hundreds_of_thousands_of_empty_and_skippable_frames_are_taken_or_refused(zstd: Target, own: Own) -> None:
    empty = zstandard.ZstdCompressor().compress(b"")
    skippable = struct.pack("<II", 0x184D2A50, 1) + b"x"
    wanted = digest(fresh(100))
    with own.server.grows_by_at_most(100 * MIB):
        for frame in (empty, skippable):
            with refused(Code.INVALID_ARGUMENT):
                zstd.send(repeated(frame, 200_000, zstd.write_name(wanted, compressor="zstd")))


@rule("HC-19")
def test_skippable_frames_around_the_data_change_nothing(zstd: Target) -> None:
    data = fresh(1000)
    skippable = struct.pack("<II", 0x184D2A5F, 5) + b"hello"
    form = skippable + packed("zstd", data[:500]) + skippable + packed("zstd", data[500:]) + skippable
    zstd.write(zstd.write_name(digest(data), compressor="zstd"), form)
    assert zstd.read(zstd.read_name(digest(data))) == data


@rule("HC-20")
@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_damaged_zstd_is_refused(zstd: Target, size: int) -> None:
    data = fresh(size)
    summed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(data))
    summed[-1] ^= 1
    samples = [os.urandom(50) + b"common words of all samples" * 3 for _ in range(200)]
    dictionary = zstandard.train_dictionary(4096, samples)
    form = packed("zstd", data)
    damaged = {
        "cut off": form[:-1],
        "cut off early": form[: len(form) // 2],
        "trailing": form + b"trailing garbage",
        "checksum": bytes(summed),
        "dictionary": zstandard.ZstdCompressor(dict_data=dictionary).compress(data),
        "noise": fresh(1000),
        "plain": data,
        "nothing": b"",
        "deflate": packed("deflate", data),
    }
    for what, wrong in damaged.items():
        code = status_of(lambda wrong=wrong: zstd.write(zstd.write_name(digest(data), compressor="zstd"), wrong)).code
        assert code is Code.INVALID_ARGUMENT, what
    assert not zstd.is_present(digest(data))


@rule("HC-21")
@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_damaged_deflate_is_refused(deflate: Target, size: int) -> None:
    data = fresh(size)
    form = packed("deflate", data)
    gzipped = zlib.compressobj(wbits=31)
    damaged = {
        "zlib header": zlib.compress(data),
        "gzip header": gzipped.compress(data) + gzipped.flush(),
        "behind the end": form + b"x",
        "twice": form + form,
        "cut off": form[:-1],
        "noise": b"\xff" * 1000,
        "nothing": b"",
        "another": packed("deflate", data + b"x"),
    }
    for what, wrong in damaged.items():
        name = deflate.write_name(digest(data), compressor="deflate")
        code = status_of(lambda wrong=wrong, name=name: deflate.write(name, wrong)).code
        assert code is Code.INVALID_ARGUMENT, what
    assert not deflate.is_present(digest(data))


@rule("HC-21")
def test_a_deflate_bomb_is_refused_in_little_memory(deflate: Target, own: Own) -> None:
    wanted = digest(fresh(MIB))
    bomb = packed("deflate", bytes(128 * MIB))
    with own.server.grows_by_at_most(50 * MIB), refused(Code.INVALID_ARGUMENT):
        deflate.write(deflate.write_name(wanted, compressor="deflate"), bomb)


@rule("HC-23")
def test_a_bomb_in_a_batch_is_refused_by_itself(target: Target, own: Own) -> None:
    announced = target.cache.supported_batch_update_compressors or not_applicable("no compressor is announced")
    good = fresh(100)
    requests = [rx.BatchUpdateBlobsRequest.Request(digest=digest(good), data=good)]
    for number in announced:
        form = packed(rx.Compressor.Value.Name(number).lower(), bytes(128 * MIB))
        requests.append(rx.BatchUpdateBlobsRequest.Request(digest=digest(fresh(MIB)), data=form, compressor=number))
    request = rx.BatchUpdateBlobsRequest(instance_name=target.instance, requests=requests)
    with own.server.grows_by_at_most(80 * MIB):
        answers = target.cas.BatchUpdateBlobs(request).responses
    assert {key(one.digest): one.status.code for one in answers} == {
        key(one.digest): INVALID if one.compressor else 0 for one in requests
    }


@rule("HC-24")
@pytest.mark.parametrize(
    ("offset", "limit"), [(2**63 - 1, 0), (-(2**63), 0), (0, -1), (0, -(2**63)), (2**63 - 1, 2**63 - 1), (101, 1)]
)
def test_reads_with_impossible_offsets_and_limits_are_refused(target: Target, offset: int, limit: int) -> None:
    name = target.read_name(target.put(fresh(100)))
    with refused(Code.OUT_OF_RANGE, Code.INVALID_ARGUMENT):
        target.read(name, offset, limit)


@rule("HC-25")
def test_readers_that_take_nothing_hold_little_and_hinder_nobody(target: Target, own: Own) -> None:
    data = fresh(32 * MIB)
    name = target.read_name(target.put(data))
    request = framed(bs.ReadRequest(resource_name=name).SerializeToString())
    before = own.server.open_files
    with own.server.grows_by_at_most(200 * MIB), Wire(target.address) as wire:
        for _ in range(50):
            number = wire.begin(READ)
            wire.http.send_data(number, request, end_stream=True)
        wire.flush()
        for _ in range(5):
            assert target.read(name) == data
    assert until(lambda: own.server.open_files <= before + 5)


@rule("HC-26")
def test_a_flood_of_resets_hinders_nobody(target: Target, own: Own) -> None:
    before = own.server.open_files
    with own.server.grows_by_at_most(150 * MIB):
        for _ in range(5):
            with Wire(target.address) as wire:
                for _ in range(2000):
                    wire.http.reset_stream(wire.begin(READ))
                    if wire.closed:
                        break
                wire.flush()
                assert target.is_present(digest(b""))
    assert until(lambda: own.server.open_files <= before + 5)


def chain(target: Target, instance: str, length: int, children: int = 1) -> rx.Digest:
    """Directories of which each holds the one below it, so many times; the root's digest."""
    below = digest(b"")
    batch: list[bytes] = []
    for level in range(length):
        made = rx.Directory()
        made.files.add(name=f"level-{level}", digest=digest(b""))
        for number in range(children):
            made.directories.add(name=f"d{number}", digest=below)
        batch.append(made.SerializeToString())
        below = digest(batch[-1])
        if len(batch) == 2000 or level == length - 1:
            target.update(*batch, instance_name=instance)
            batch = []
    return below


@rule("HC-27")
def test_a_tree_of_exponential_size_comes_once_or_is_refused(target: Target, roomy: str) -> None:
    root = chain(target, roomy, 100, children=20)
    request = rx.GetTreeRequest(instance_name=roomy, root_digest=root)
    code = code_of(lambda: target.cas.GetTree(request))
    assert code in (Code.OK, Code.RESOURCE_EXHAUSTED, Code.UNIMPLEMENTED)
    if code is Code.OK:
        assert sum(len(page.directories) for page in target.cas.GetTree(request)) < 10_000


@rule("HC-28")
def test_a_chain_of_five_thousand_directories_is_walked_or_refused(target: Target, roomy: str) -> None:
    root = chain(target, roomy, 5000)
    request = rx.GetTreeRequest(instance_name=roomy, root_digest=root)
    code = code_of(lambda: target.cas.GetTree(request))
    assert code in (Code.OK, Code.RESOURCE_EXHAUSTED, Code.UNIMPLEMENTED)


@rule("HC-29")
def test_a_directory_of_a_million_entries_is_refused(target: Target, roomy: str, own: Own) -> None:
    data = rx.Directory(files=[{"name": "x"}]).SerializeToString() * 1_000_000
    assert len(data) > 4 * MIB
    wanted = digest(data)
    target.write(target.write_name(wanted, instance=roomy), data)
    request = rx.GetTreeRequest(instance_name=roomy, root_digest=wanted)
    with own.server.grows_by_at_most(200 * MIB):
        assert code_of(lambda: target.cas.GetTree(request)) in TOO_MUCH


@rule("HC-30")
@pytest.mark.parametrize(
    "fields",
    [
        {"page_size": -(2**31)},
        {"page_token": "x" * 100_000},
        {"page_token": "\0"},
        {"page_token": f"{'a' * 64}-3-{'b' * 24}"},
        {"page_token": "\u0661" * 10},
        {"page_token": "../../etc/passwd"},
        {"page_token": "-" * 1000},
    ],
    ids=lambda fields: str(fields)[:30],
)
def test_forged_tokens_and_impossible_page_sizes_are_refused(target: Target, fields: dict[str, object]) -> None:
    if not target.serves(f"{CAS}/GetTree"):
        not_applicable("GetTree is not served")
    root = target.put(rx.Directory(files=[{"name": fresh(4).hex(), "digest": digest(b"")}]))
    request = rx.GetTreeRequest(**{"instance_name": target.instance, "root_digest": root, **fields})
    assert code_of(lambda: target.cas.GetTree(request)) is Code.INVALID_ARGUMENT


@rule("HC-31")
def test_a_root_of_5_gb_is_refused_or_absent(target: Target) -> None:
    if not target.serves(f"{CAS}/GetTree"):
        not_applicable("GetTree is not served")
    root = rx.Digest(hash="a" * 64, size_bytes=5 << 30)
    request = rx.GetTreeRequest(instance_name=target.instance, root_digest=root)
    assert code_of(lambda: target.cas.GetTree(request)) in (*TOO_MUCH, Code.NOT_FOUND)


@pytest.fixture
def splicing(target: Target) -> Target:
    """A server that announces SpliceBlob."""
    return target if target.cache.splice_blob_support else not_applicable("SpliceBlob is not announced")


@rule("HC-32")
def test_hostile_splices_are_refused_and_repeats_are_not(splicing: Target, roomy: str) -> None:
    def splice(blob: rx.Digest, chunks: list[rx.Digest], instance: str = splicing.instance) -> grpc.StatusCode:
        request = rx.SpliceBlobRequest(instance_name=instance, blob_digest=blob, chunk_digests=chunks)
        return code_of(lambda: splicing.cas.SpliceBlob(request))

    byte, kib = splicing.put(b"x"), fresh(1000)
    splicing.update(kib, b"x", instance_name=roomy)
    enormous = rx.Digest(hash="a" * 64, size_bytes=100_000)
    for count in (100_000, 1_000_000):
        request = rx.SpliceBlobRequest(instance_name=splicing.instance, blob_digest=enormous)
        with refused(*TOO_MUCH):
            splicing.raw(f"{CAS}/SpliceBlob", request.SerializeToString() + entries(3, byte, count))
    assert splice(digest(b"xx"), [byte, digest(b""), byte]) in (Code.INVALID_ARGUMENT, Code.OK)
    absent = digest(fresh(50))
    assert splice(absent, [absent]) is Code.NOT_FOUND
    assert splice(byte, [byte]) is Code.OK
    assert splice(digest(kib * 2000), [digest(kib)] * 2000, roomy) in (Code.OK, *TOO_MUCH)


@rule("HC-33")
def test_a_splice_of_wrong_chunks_for_a_present_blob_changes_nothing(splicing: Target) -> None:
    data, wrong = fresh(200_000), fresh(200_000)
    blob, chunk = splicing.put(data), splicing.put(wrong)
    request = rx.SpliceBlobRequest(
        instance_name=splicing.instance,
        blob_digest=blob,
        chunk_digests=[chunk],
        chunking_function=rx.ChunkingFunction.FAST_CDC_2020,
    )
    assert code_of(lambda: splicing.cas.SpliceBlob(request)) in (Code.OK, Code.INVALID_ARGUMENT)
    assert splicing.read(splicing.read_name(blob)) == data
    if splicing.cache.split_blob_support:
        answer = splicing.cas.SplitBlob(rx.SplitBlobRequest(instance_name=splicing.instance, blob_digest=blob))
        assert b"".join(splicing.read(splicing.read_name(one)) for one in answer.chunk_digests) in (b"", data)


@rule("HC-34")
def test_a_large_blob_that_many_split_at_once_is_split_in_little_memory(target: Target, own: Own, roomy: str) -> None:
    if not target.cache.split_blob_support:
        not_applicable("SplitBlob is not announced")
    data = fresh(64 * MIB)
    blob = digest(data)
    target.write(target.write_name(blob, instance=roomy), data)
    request = rx.SplitBlobRequest(instance_name=roomy, blob_digest=blob)
    # The chunks are kept beside the blob, in memory too.
    with own.server.grows_by_at_most(64 * MIB + 100 * MIB):
        calls = [target.cas.SplitBlob.future(request) for _ in range(30)]
        codes = {call.code() for call in calls}
    assert codes <= {Code.OK, Code.RESOURCE_EXHAUSTED}
    assert len({str(call.result()) for call in calls if call.code() is Code.OK}) <= 1
    absent = rx.SplitBlobRequest(instance_name=roomy, blob_digest={"hash": "a" * 64, "size_bytes": 1 << 40})
    with refused(Code.NOT_FOUND, *TOO_MUCH):
        target.cas.SplitBlob(absent)


@pytest.mark.real
@rule("HC-35")
def test_a_disk_that_is_full_in_mid_write_is_resource_exhausted_and_leaves_nothing(own: Own, tmp_path: Path) -> None:
    mount = ("unshare", "-m", "sh", "-c", 'mkdir -p "$0" && mount -t tmpfs -o size=16m none "$0" && exec "$@"')
    process = Process("full", HERE / "shared.json5", tmp_path, before=(*mount, str(tmp_path / "data")))
    target = Target(process.addresses[0], "")
    inside = Path(f"/proc/{process.pid}/root") / (tmp_path / "data").relative_to("/")
    try:
        data, small = fresh(32 * MIB), fresh(MIB)
        with refused(Code.RESOURCE_EXHAUSTED):
            target.write(target.write_name(digest(data)), data)
        assert not target.is_present(digest(data))
        assert until(lambda: max(file_sizes(inside), default=0) <= MIB)
        assert target.write(target.write_name(digest(small)), small) == len(small)
        assert target.read(target.read_name(digest(small))) == small
    finally:
        target.close()
        process.stop()


@pytest.mark.parametrize("chunk", [MIB, 4 * MIB], ids=["a stream", "one message"])
def test_uploads_that_fail_hold_nothing(target: Target, own: Own, chunk: int) -> None:
    data = fresh(3 * MIB)
    name = target.write_name(digest(data[::-1]))
    with own.server.grows_by_at_most(60 * MIB):
        for _ in range(60):
            with refused(Code.INVALID_ARGUMENT):
                target.send(list(messages(name, data, chunk)))


@rule("HC-02")
def test_a_write_of_endless_empty_messages_holds_nothing(target: Target, own: Own) -> None:
    data = fresh(10)
    name = target.write_name(digest(data))
    empty = [bs.WriteRequest(resource_name=name)] * 20_000
    with own.server.grows_by_at_most(50 * MIB):
        assert target.send([*empty, *messages(name, data)]) == len(data)

"""BSW: ByteStream.Write."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from tests.conformance.calls import code_of
from tests.conformance.catalogue import departure, rule
from tests.conformance.own import HASTY_INSTANCE, HERE, SMALL_BYTES, SMALL_INSTANCE, Own, Process
from tests.conformance.target import (
    Code,
    Feed,
    Target,
    bs,
    digest,
    fresh,
    messages,
    not_applicable,
    refused,
    status_of,
    until,
)
from tests.conformance.unpacking import packed

MIB = 1 << 20
PRESENT_SECONDS = 2.0


def some_compressor(target: Target) -> list[str]:
    return target.compressors or not_applicable("no compressor is announced")


@rule("BSW-01")
@pytest.mark.parametrize("chunk_bytes", [1 << 10, 100_000, 10 * MIB])
def test_one_message_or_many_the_committed_size_is_the_blobs(target: Target, chunk_bytes: int) -> None:
    data = fresh(300_001)
    wanted = digest(data)
    assert target.write(target.write_name(wanted), data, chunk_bytes) == len(data)
    assert target.read(target.read_name(wanted)) == data


@rule("BSW-02")
def test_the_first_message_names_the_resource(target: Target) -> None:
    data = fresh(10)
    with refused(Code.INVALID_ARGUMENT):
        target.send([bs.WriteRequest(data=data, finish_write=True)])
    with refused(Code.INVALID_ARGUMENT):
        target.send(
            [
                bs.WriteRequest(data=data[:5]),
                bs.WriteRequest(resource_name=target.write_name(digest(data)), write_offset=5, finish_write=True),
            ]
        )


@rule("BSW-02")
def test_later_messages_repeat_the_name_and_never_change_it(target: Target) -> None:
    data, other = fresh(10), fresh(10)
    name = target.write_name(digest(data))

    def upload(second: str) -> list[bs.WriteRequest]:
        return [
            bs.WriteRequest(resource_name=name, data=data[:5]),
            bs.WriteRequest(resource_name=second, write_offset=5, data=data[5:], finish_write=True),
        ]

    with refused(Code.INVALID_ARGUMENT):
        target.send(upload(target.write_name(digest(other))))
    assert target.send(upload(name)) == len(data)


@rule("BSW-03")
@pytest.mark.parametrize("rest", ["/foo", "/foo/bar", "/a/b/c/d/e", "/blobs", "/uploads/x", "/x.tar.gz"])
def test_what_follows_the_size_is_ignored(target: Target, rest: str) -> None:
    data = fresh(10)
    assert target.write(target.write_name(digest(data)) + rest, data) == len(data)
    assert target.is_present(digest(data))


@rule("BSW-04")
@pytest.mark.parametrize("upload_id", ["8b7a9ac5-4b5e-4b8e-9d9c-0000000000aa", "8B7A9AC5-4B5E-4B8E-9D9C-0000000000AB"])
def test_one_id_uploads_many_blobs_also_at_once(target: Target, upload_id: str) -> None:
    blobs = [fresh(3 * MIB) for _ in range(4)]

    def upload(data: bytes) -> int:
        return target.write(target.write_name(digest(data), upload_id=upload_id), data, 100_000)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(upload, blobs)) == [3 * MIB] * 4
    assert target.find_missing(*map(digest, blobs)) == []


@rule("BSW-05")
@pytest.mark.parametrize("second_offset", [0, 4, 6, -1, 2**62])
def test_a_gap_or_an_overlap_is_refused(target: Target, second_offset: int) -> None:
    data = fresh(10)
    name = target.write_name(digest(data))
    with refused(Code.INVALID_ARGUMENT):
        target.send(
            [
                bs.WriteRequest(resource_name=name, data=data[:5]),
                bs.WriteRequest(write_offset=second_offset, data=data[5:], finish_write=True),
            ]
        )
    assert not target.is_present(digest(data))


@rule("BSW-05")
@pytest.mark.parametrize("offset", [1, 10, -1, 2**63 - 1])
def test_an_upload_that_nobody_began_begins_at_0(target: Target, offset: int) -> None:
    data = fresh(10)
    with refused(Code.INVALID_ARGUMENT, Code.OUT_OF_RANGE):
        target.send(messages(target.write_name(digest(data)), data, first_offset=offset))
    assert not target.is_present(digest(data))


@rule("BSW-06")
def test_a_compressed_upload_counts_compressed_bytes_from_0(target: Target) -> None:
    for compressor in some_compressor(target):
        data = fresh(1000) * 300
        form = packed(compressor, data)
        name = target.write_name(digest(data), compressor=compressor)
        with refused(Code.INVALID_ARGUMENT):
            target.send(messages(name, form, first_offset=5))
        target.write(name, form, chunk_bytes=300)
        assert target.is_present(digest(data))


@rule("BSW-07")
def test_nothing_comes_after_finish_write(target: Target) -> None:
    data = fresh(10)
    name = target.write_name(digest(data))
    last = bs.WriteRequest(resource_name=name, data=data, finish_write=True)
    with refused(Code.INVALID_ARGUMENT):
        target.send([last, bs.WriteRequest(write_offset=10, data=b"more")])


@rule("BSW-08")
def test_an_upload_without_finish_write_is_not_committed(target: Target) -> None:
    for data, sent in ((fresh(10), 5), (fresh(2 * MIB), MIB)):
        name = target.write_name(digest(data))
        call = target.bytestream.Write.future(iter([bs.WriteRequest(resource_name=name, data=data[:sent])]))
        assert call.code() in (Code.INVALID_ARGUMENT, Code.OK)
        if call.code() is Code.OK:
            assert call.result().committed_size <= sent
        assert not target.is_present(digest(data))


@rule("BSW-09")
def test_too_many_bytes_are_refused_as_soon_as_they_come(target: Target) -> None:
    for declared in (3, 2 * MIB):
        wanted = digest(fresh(declared))
        sent = 0

        def endless(name: str) -> Iterator[bs.WriteRequest]:
            nonlocal sent
            while sent < 1 << 30:
                yield bs.WriteRequest(resource_name=name, write_offset=sent, data=bytes(MIB))
                sent += MIB

        with refused(Code.INVALID_ARGUMENT):
            target.send(endless(target.write_name(wanted)))
        assert sent < 1 << 29


@rule("BSW-10")
@pytest.mark.parametrize(("size", "sent"), [(10, 9), (10, 0), (3 * MIB, 2 * MIB)])
def test_too_few_bytes_are_refused(target: Target, size: int, sent: int) -> None:
    data = fresh(size)
    with refused(Code.INVALID_ARGUMENT):
        target.write(target.write_name(digest(data)), data[:sent])
    assert not target.is_present(digest(data))


@rule("BSW-11")
@pytest.mark.parametrize("size", [10, 100_000, 3 * MIB])
def test_a_wrong_hash_is_refused_and_nothing_is_visible(target: Target, size: int) -> None:
    data = bytearray(fresh(size))
    wanted = digest(bytes(data))
    data[-1] ^= 1
    with refused(Code.INVALID_ARGUMENT):
        target.write(target.write_name(wanted), bytes(data))
    assert not target.is_present(wanted)
    with refused(Code.NOT_FOUND):
        target.read(target.read_name(wanted))


@rule("BSW-12", refused=True)
def test_an_upload_of_a_present_blob_is_answered_before_its_end(target: Target) -> None:
    data = fresh(3 * MIB)
    wanted = target.put(data)
    with Feed() as feed:
        call = target.bytestream.Write.future(iter(feed))
        feed.say(bs.WriteRequest(resource_name=target.write_name(wanted), data=data[:MIB]))
        assert until(call.done, PRESENT_SECONDS)
    assert call.result().committed_size == len(data)


@departure("BSW-12")
def test_an_upload_of_a_present_blob_is_read_to_its_end_and_succeeds(target: Target) -> None:
    data = fresh(3 * MIB)
    wanted = target.put(data)
    assert target.write(target.write_name(wanted), data) == len(data)
    assert target.read(target.read_name(wanted)) == data


@rule("BSW-13")
def test_a_client_that_sends_everything_before_it_listens_is_served(target: Target) -> None:
    data = fresh(8 * MIB)
    wanted = target.put(data)
    call = target.bytestream.Write.future(messages(target.write_name(wanted), data))
    assert call.result().committed_size == len(data)
    for compressor in target.compressors:
        name = target.write_name(wanted, compressor=compressor)
        form = packed(compressor, data)
        assert target.write(name, form) in (-1, len(form))


@rule("BSW-14")
def test_a_compressed_upload_commits_its_compressed_bytes(target: Target) -> None:
    for compressor in some_compressor(target):
        data = fresh(1000) * 3000
        form = packed(compressor, data)
        assert target.write(target.write_name(digest(data), compressor=compressor), form) in (-1, len(form))
        assert target.read(target.read_name(digest(data))) == data


@rule("BSW-15")
def test_of_equal_uploads_at_once_only_the_damaged_one_fails(target: Target) -> None:
    data = fresh(2 * MIB)
    wanted = digest(data)
    damaged = data[:-1] + bytes([data[-1] ^ 1])

    def upload(number: int) -> grpc.StatusCode:
        sent = damaged if number == 13 else data
        return status_of(lambda: target.write(target.write_name(wanted), sent, 300_000)).code

    with ThreadPoolExecutor(16) as threads:
        codes = list(threads.map(upload, range(32)))
    # A damaged upload may find the blob present already, and is then nobody's harm.
    assert codes[13] in (Code.INVALID_ARGUMENT, Code.OK)
    assert {*codes[:13], *codes[14:]} == {Code.OK}
    assert target.read(target.read_name(wanted)) == data


def broken(target: Target, name: str, data: bytes, sent: int) -> int:
    """An upload whose connection breaks after so many bytes; returns what the server has of it."""
    with Feed() as feed:
        call = target.bytestream.Write.future(iter(feed))
        for message in messages(name, data[:sent]):
            message.finish_write = False
            feed.say(message)
        until(lambda: target.committed(name) == sent, 3.0)
        call.cancel()
    return target.committed(name)


@rule("BSW-16")
def test_a_broken_upload_goes_on_where_it_was(target: Target) -> None:
    data = fresh(5 * MIB)
    name = target.write_name(digest(data))
    at = broken(target, name, data, 2 * MIB)
    rest = list(messages(name, data[at:], first_offset=at))
    rest[0].resource_name = name
    assert target.send(rest) == len(data)
    assert target.read(target.read_name(digest(data))) == data


@rule("BSW-16")
def test_a_broken_upload_begins_anew_under_its_name(target: Target) -> None:
    data = fresh(5 * MIB)
    name = target.write_name(digest(data))
    broken(target, name, data, 2 * MIB)
    assert target.write(name, data) == len(data)
    assert target.read(target.read_name(digest(data))) == data


@rule("BSW-17")
def test_abandoned_uploads_are_bounded_invisible_and_freed(target: Target, own: Own) -> None:
    data = fresh(3 * MIB)
    abandoned = []

    def begin(number: int) -> tuple[Feed, grpc.Future]:
        blob = data[number:] + bytes(number)
        name = target.write_name(digest(blob), instance=HASTY_INSTANCE)
        abandoned.append(digest(blob))
        feed = Feed()
        call = target.bytestream.Write.future(iter(feed))
        feed.say(bs.WriteRequest(resource_name=name, data=blob[:MIB]))
        feed.say(bs.WriteRequest(write_offset=MIB, data=blob[MIB : 2 * MIB]))
        return feed, call

    with own.server.grows_by_at_most(150 * MIB):
        for wave in range(8):
            under_way = [begin(10 * wave + number) for number in range(10)]
            assert until(lambda: own.server.unfinished_bytes("hasty") > 0)
            for feed, call in under_way:
                call.cancel()
                feed.end()
        assert until(lambda: own.server.unfinished_bytes("hasty") == 0)
    assert len(target.find_missing(*abandoned, instance_name=HASTY_INSTANCE)) == len(abandoned)


@rule("BSW-18")
def test_a_blob_above_the_announced_largest_size_is_refused_before_its_data(target: Target) -> None:
    most = target.cache.max_cas_blob_size_bytes or not_applicable("no largest blob is announced")
    wanted = digest(b"x")
    wanted.size_bytes = most + 1
    with Feed() as feed:
        call = target.bytestream.Write.future(iter(feed))
        feed.say(bs.WriteRequest(resource_name=target.write_name(wanted), data=b"x"))
        assert call.code() is Code.INVALID_ARGUMENT


@rule("BSW-19")
def test_a_blob_that_never_fits_is_resource_exhausted(target: Target, own: Own) -> None:
    data = fresh(SMALL_BYTES + 1)
    with refused(Code.RESOURCE_EXHAUSTED):
        target.write(target.write_name(digest(data), instance=SMALL_INSTANCE), data)


@rule("BSW-20")
def test_the_empty_blob_can_be_uploaded(target: Target) -> None:
    assert target.write(target.write_name(digest(b"")), b"") == 0


@rule("BSW-21")
def test_messages_without_data_are_legal(target: Target) -> None:
    data = fresh(10)
    name = target.write_name(digest(data))
    upload = [
        bs.WriteRequest(resource_name=name),
        bs.WriteRequest(data=data[:5]),
        bs.WriteRequest(write_offset=5),
        bs.WriteRequest(write_offset=5, data=data[5:]),
        bs.WriteRequest(write_offset=10, finish_write=True),
    ]
    assert target.send(upload) == len(data)
    assert target.is_present(digest(data))


@rule("BSW-22")
def test_a_message_of_four_million_bytes_is_taken(target: Target) -> None:
    data = fresh(4_000_000)
    assert target.write(target.write_name(digest(data)), data, chunk_bytes=len(data)) == len(data)


@rule("BSW-23")
def test_a_compressed_upload_is_verified_unpacked(target: Target) -> None:
    for compressor in some_compressor(target):
        data = fresh(1000) * 300
        for other in (fresh(len(data)), data + b"x", data[:-1], data + bytes(50 * MIB)):
            with refused(Code.INVALID_ARGUMENT):
                target.write(target.write_name(digest(data), compressor=compressor), packed(compressor, other))
        assert not target.is_present(digest(data))


@rule("BSW-24")
def test_damaged_compressed_data_is_refused(target: Target) -> None:
    for compressor in some_compressor(target):
        data = fresh(100_000)
        form = packed(compressor, data)
        for wrong in (form[:-1], form[: len(form) // 2], form + b"x", form + form, fresh(5000), data, b""):
            with refused(Code.INVALID_ARGUMENT):
                target.write(target.write_name(digest(data), compressor=compressor), wrong)
        assert not target.is_present(digest(data))


@rule("BSW-25")
def test_grpcs_own_compression_works(target: Target) -> None:
    data = bytes(range(256)) * 8000 + fresh(20)
    wanted = digest(data)
    gzip = grpc.Compression.Gzip
    assert target.write(target.write_name(wanted), data, compression=gzip) == len(data)
    assert target.read(target.read_name(wanted), compression=gzip) == data


@rule("BSW-27")
def test_the_name_of_a_read_is_no_name_for_an_upload(target: Target) -> None:
    data = fresh(10)
    wanted = digest(data)
    for name in (target.read_name(wanted), f"uploads/{target.read_name(wanted)}", f"x/{target.read_name(wanted)}"):
        assert code_of(lambda name=name: target.bytestream.Write(messages(name, data))) is Code.INVALID_ARGUMENT


@rule("BSW-28")
def test_a_crash_in_the_middle_of_an_upload_leaves_nothing_visible(own: Own, tmp_path: Path) -> None:
    data, whole = fresh(8 * MIB), fresh(8 * MIB)
    process = Process("crashing", HERE / "server.json5", tmp_path)
    target = Target(process.addresses[0], "")
    kept = target.put(whole)
    with Feed() as feed:
        target.bytestream.Write.future(iter(feed))
        name = target.write_name(digest(data))
        for message in messages(name, data[: 6 * MIB]):
            message.finish_write = False
            feed.say(message)
        assert until(lambda: target.committed(name) == 6 * MIB)
        process.kill()
    target.close()
    process = Process("again", HERE / "server.json5", tmp_path)
    target = Target(process.addresses[0], "")
    try:
        assert not target.is_present(digest(data))
        assert target.read(target.read_name(kept)) == whole
        assert until(lambda: process.unfinished_bytes("cas") == 0)
    finally:
        target.close()
        process.stop()

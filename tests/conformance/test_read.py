"""BSR: ByteStream.Read."""

from __future__ import annotations

import grpc
import pytest

from tests.conformance.calls import by_name, by_resource, code_of, codes_of
from tests.conformance.catalogue import departure, rule
from tests.conformance.own import Own
from tests.conformance.target import Code, Target, bs, digest, fresh, not_applicable, refused, rx, until
from tests.conformance.unpacking import packed, unpacked

KIB, MIB = 1 << 10, 1 << 20
SIZE_TEXTS = [
    "+5",
    "-0",
    "-1",
    "0x5",
    "05",
    "5_0",
    " 5",
    "5 ",
    "5.0",
    "\u0665",
    "",
    "x",
    "9223372036854775808",
    "1" * 400,
]


def stream(target: Target, name: str, **fields: int) -> grpc.Call:
    return target.bytestream.Read(bs.ReadRequest(resource_name=name, **fields))


def some_compressor(target: Target) -> list[str]:
    return target.compressors or not_applicable("no compressor is announced")


@rule("BSR-01")
@pytest.mark.parametrize("size", [1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB, 2 * MIB, 9 * MIB + 1])
def test_a_whole_read_gives_exactly_the_blob(target: Target, size: int) -> None:
    data = fresh(size)
    assert target.read(target.read_name(target.put(data))) == data


@rule("BSR-02")
def test_messages_stay_below_what_clients_receive(target: Target) -> None:
    name = target.read_name(target.put(fresh(9 * MIB)))
    assert max(message.ByteSize() for message in stream(target, name)) < 4 * MIB


@rule("BSR-03")
def test_an_absent_blob_is_not_found_before_any_data(target: Target) -> None:
    call = stream(target, target.read_name(digest(fresh(3 * MIB))))
    with refused(Code.NOT_FOUND):
        next(iter(call))


@rule("BSR-03")
def test_a_blob_that_loses_its_end_while_it_is_read_is_no_short_success(target: Target, own: Own) -> None:
    wanted = target.put(fresh(64 * MIB))
    call = stream(target, target.read_name(wanted))
    got = len(next(iter(call)).data)
    path = own.file_of(wanted)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.truncate(48 * MIB)
    with refused(Code.DATA_LOSS, Code.UNAVAILABLE, Code.NOT_FOUND, Code.INTERNAL):
        got += sum(len(message.data) for message in call)
    assert got < 64 * MIB
    path.unlink()


@rule("BSR-04")
def test_the_offset_gives_the_rest(target: Target) -> None:
    data = fresh(3 * MIB)
    name = target.read_name(target.put(data))
    for offset in (0, 1, 100_000, len(data) - 1, len(data)):
        assert target.read(name, offset) == data[offset:]


@rule("BSR-04")
@pytest.mark.parametrize("offset", [101, -1, 2**63 - 1, -(2**63)])
def test_an_offset_outside_of_the_blob_is_out_of_range(target: Target, offset: int) -> None:
    name = target.read_name(target.put(fresh(100)))
    with refused(Code.OUT_OF_RANGE):
        target.read(name, offset)


@rule("BSR-05")
def test_the_limit_bounds_the_bytes(target: Target) -> None:
    data = fresh(2 * MIB)
    name = target.read_name(target.put(data))
    for offset, limit in ((5, 10), (0, 1), (0, len(data)), (100, 10**12), (MIB, MIB), (len(data), 5)):
        assert target.read(name, offset, limit) == data[offset : offset + limit]


@rule("BSR-05")
def test_a_negative_limit_is_refused(target: Target) -> None:
    name = target.read_name(target.put(fresh(100)))
    with refused(Code.INVALID_ARGUMENT, Code.OUT_OF_RANGE):
        target.read(name, 0, -1)


@rule("BSR-06")
def test_a_limited_compressed_read_is_refused(target: Target) -> None:
    for compressor in some_compressor(target):
        name = target.read_name(target.put(fresh(100)), compressor=compressor)
        with refused(Code.INVALID_ARGUMENT):
            target.read(name, 0, 10)


@rule("BSR-07")
def test_the_offset_of_a_compressed_read_counts_plain_bytes(target: Target) -> None:
    data = fresh(MIB) + bytes(MIB) + fresh(MIB)
    wanted = target.put(data)
    for compressor in some_compressor(target):
        name = target.read_name(wanted, compressor=compressor)
        for offset in (0, 1, MIB + 17, len(data) - 1, len(data)):
            assert unpacked(compressor, target.read(name, offset)) == data[offset:]
        with refused(Code.OUT_OF_RANGE):
            target.read(name, len(data) + 1)


@rule("BSR-08")
def test_every_compressor_serves_every_blob_however_it_came(target: Target) -> None:
    forms = some_compressor(target)
    for sent in ("", *forms):
        data = fresh(40_000) + bytes(2 * MIB)
        wanted = digest(data)
        target.write(target.write_name(wanted, compressor=sent), packed(sent, data) if sent else data)
        assert target.read(target.read_name(wanted)) == data
        for asked in forms:
            assert unpacked(asked, target.read(target.read_name(wanted, compressor=asked))) == data


@rule("BSR-09")
@pytest.mark.parametrize("compressor", ["lz4", "identity", "ZSTD", "", "gzip", "zlib"])
def test_what_is_no_announced_compressor_is_refused(target: Target, compressor: str) -> None:
    wanted = target.put(b"x")
    named = by_name(target, f"compressed-blobs/{compressor}/{wanted.hash}/{wanted.size_bytes}")
    for method, code in codes_of(named).items():
        assert code is Code.INVALID_ARGUMENT, method


@rule("BSR-10")
def test_the_forms_are_those_of_the_api(target: Target) -> None:
    data = fresh(500) * 2000
    wanted = target.put(data)
    for compressor in some_compressor(target):
        form = target.read(target.read_name(wanted, compressor=compressor))
        assert unpacked(compressor, form) == data
        assert len(form) < len(data)


@rule("BSR-11")
def test_the_compressed_empty_blob_is_a_valid_stream(target: Target) -> None:
    for compressor in some_compressor(target):
        assert unpacked(compressor, target.read(target.read_name(digest(b""), compressor=compressor))) == b""


@rule("BSR-12")
def test_no_path_follows_the_size_in_the_name_of_a_read(target: Target) -> None:
    name = target.read_name(target.put(fresh(10)))
    for rest in ("/", "//", "/foo/bar"):
        with refused(Code.INVALID_ARGUMENT):
            target.read(name + rest)


@rule("BSR-12", refused=True)
def test_nothing_at_all_follows_the_size_in_the_name_of_a_read(target: Target) -> None:
    with refused(Code.INVALID_ARGUMENT):
        target.read(f"{target.read_name(target.put(fresh(10)))}/foo")


@departure("BSR-12")
def test_one_segment_after_the_size_in_the_name_of_a_read_is_ignored(target: Target) -> None:
    data = fresh(10)
    assert target.read(f"{target.read_name(target.put(data))}/foo") == data


@rule("BSR-13")
@pytest.mark.parametrize("size", SIZE_TEXTS)
def test_a_malformed_size_is_refused(target: Target, size: str) -> None:
    for method, code in codes_of(by_name(target, f"blobs/{digest(b'x').hash}/{size}")).items():
        assert code is Code.INVALID_ARGUMENT, method


@rule("BSR-13")
@pytest.mark.parametrize(
    "name", ["", "/", "blobs", "blobs/", "blobs/{h}", "blobs/{h}/", "{h}/1", "blob/{h}/1", "blobs/x/1", "blobs//{h}/1"]
)
def test_a_malformed_name_is_refused(target: Target, name: str) -> None:
    text = name.format(h=digest(b"x").hash)
    for method, code in codes_of(by_resource(target, text, f"uploads/u/{text}")).items():
        assert code is Code.INVALID_ARGUMENT, method


@rule("BSR-14")
def test_the_header_never_decides_what_is_served(target: Target) -> None:
    data = fresh(50)
    name, other = target.read_name(target.put(data)), target.read_name(target.put(fresh(50)))
    header = "build.bazel.remote.execution.v2.resource-name"
    assert target.read(name, metadata=[(header, name)]) == data
    call = target.bytestream.Read(bs.ReadRequest(resource_name=name), metadata=[(header, other)])
    code = code_of(lambda: call)
    assert code in (Code.INVALID_ARGUMENT, Code.OK)
    if code is Code.OK:
        assert target.read(name, metadata=[(header, other)]) == data


@rule("BSR-16")
def test_clients_that_leave_free_what_their_reads_held(target: Target, own: Own) -> None:
    name = target.read_name(target.put(fresh(16 * MIB)))
    before = own.server.open_files
    for _ in range(200):
        call = stream(target, name)
        next(iter(call))
        call.cancel()
    assert until(lambda: own.server.open_files <= before + 2)


@rule("BSR-17")
def test_slow_readers_do_not_make_the_server_hold_the_blob(target: Target, own: Own) -> None:
    wanted = target.put(fresh(64 * MIB))
    name = target.read_name(wanted)
    with own.server.grows_by_at_most(100 * MIB):
        calls = [stream(target, name) for _ in range(8)]
        for call in calls:
            next(iter(call))
        # Time enough to read ahead, if it were to.
        for _ in range(200):
            assert target.is_present(wanted)
        for call in calls:
            call.cancel()


@rule("BSR-18", "HC-38", refused=True)
def test_a_flipped_bit_is_noticed_by_a_whole_read(target: Target, own: Own) -> None:
    wanted = target.put(fresh(3 * MIB))
    _damage(own, wanted, flip=MIB)
    try:
        assert code_of(lambda: stream(target, target.read_name(wanted))) is not Code.OK
        assert not target.is_present(wanted)
    finally:
        own.file_of(wanted).unlink(missing_ok=True)


@departure("BSR-18", "HC-38")
@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_a_wrong_length_is_data_loss_on_every_way_out(target: Target, own: Own, size: int) -> None:
    wanted = target.put(fresh(size))
    _damage(own, wanted, size=size - 1)
    assert code_of(lambda: stream(target, target.read_name(wanted))) is Code.DATA_LOSS
    (answer,) = target.get(wanted)
    assert answer.status.code == Code.DATA_LOSS.value[0]
    own.file_of(wanted).unlink()


def _damage(own: Own, wanted: rx.Digest, *, flip: int | None = None, size: int | None = None) -> None:
    path = own.file_of(wanted)
    path.chmod(0o600)
    with path.open("r+b") as file:
        if flip is not None:
            file.seek(flip)
            (byte,) = file.read(1)
            file.seek(flip)
            file.write(bytes([byte ^ 1]))
        file.truncate(size if size is not None else wanted.size_bytes)

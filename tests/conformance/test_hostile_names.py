"""HD: hostile digests and names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.calls import by_digest, by_instance, by_name, by_resource, code_of, codes_of
from tests.conformance.catalogue import rule
from tests.conformance.own import Own
from tests.conformance.target import REAPI, Code, Target, bs, digest, fresh, not_applicable, refused, rx

H64 = digest(b"abc").hash
OTHER = digest(b"other").hash
LEAST, MOST = -(2**63), 2**63 - 1
REFUSED = {Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED}


def all_refuse(codes: dict[str, Any]) -> None:
    assert codes
    assert {name: code for name, code in codes.items() if code is not Code.INVALID_ARGUMENT} == {}


@rule("HD-01")
@pytest.mark.parametrize("size", [-1, LEAST])
def test_negative_sizes_are_refused_by_every_call(target: Target, size: int) -> None:
    all_refuse(codes_of(by_digest(target, rx.Digest(hash=H64, size_bytes=size))))
    all_refuse(codes_of(by_name(target, f"blobs/{H64}/{size}")))


@rule("HD-01")
@pytest.mark.parametrize("kind", ["files", "directories"])
def test_negative_sizes_inside_of_directories_are_refused(target: Target, worker: None, kind: str) -> None:
    bad = rx.Directory(**{kind: [{"name": "x", "digest": {"hash": H64, "size_bytes": -1}}]})
    root = target.put(bad)
    if kind == "directories" and target.serves(f"/{REAPI}.ContentAddressableStorage/GetTree"):
        request = rx.GetTreeRequest(instance_name=target.instance, root_digest=root)
        assert code_of(lambda: target.cas.GetTree(request)) is Code.INVALID_ARGUMENT
    command = target.put(rx.Command(arguments=["/bin/true"]))
    action = target.put(rx.Action(command_digest=command, input_root_digest=root))
    request = rx.ExecuteRequest(instance_name=target.instance, action_digest=action)
    assert code_of(lambda: target.execution.Execute(request)) is Code.INVALID_ARGUMENT


@rule("HD-01")
def test_negative_sizes_inside_of_actions_are_refused(target: Target, worker: None) -> None:
    bad = rx.Digest(hash=H64, size_bytes=-1)
    good = target.put(rx.Command(arguments=["/bin/true"]))
    for action in (
        rx.Action(command_digest=bad, input_root_digest=digest(b"")),
        rx.Action(command_digest=good, input_root_digest=bad),
    ):
        request = rx.ExecuteRequest(instance_name=target.instance, action_digest=target.put(action))
        assert code_of(lambda request=request: target.execution.Execute(request)) is Code.INVALID_ARGUMENT


@rule("HD-02")
def test_an_enormous_declared_size_reserves_nothing(target: Target, own: Own) -> None:
    enormous = rx.Digest(hash=H64, size_bytes=2**62)
    with own.server.grows_by_at_most(50 << 20):
        assert target.find_missing(enormous) == [enormous]
        with refused(*REFUSED):
            target.write(target.write_name(enormous), fresh(3 << 20))
        with refused(Code.INVALID_ARGUMENT):
            target.get(enormous)
        with refused(Code.NOT_FOUND):
            target.read(target.read_name(enormous))
        assert own.server.unfinished_bytes("cas") < 1 << 30


@rule("HD-02")
def test_an_enormous_declared_size_is_refused_or_absent_everywhere(target: Target) -> None:
    codes = codes_of(by_digest(target, rx.Digest(hash=H64, size_bytes=2**62)))
    assert codes.pop(f"/{REAPI}.ContentAddressableStorage/FindMissingBlobs") is Code.OK
    codes.pop(f"/{REAPI}.ActionCache/UpdateActionResult", None)
    assert set(codes.values()) <= {*REFUSED, Code.NOT_FOUND, Code.FAILED_PRECONDITION}


@rule("HD-03")
def test_sums_past_2_to_the_63_are_refused(target: Target) -> None:
    four = [rx.Digest(hash=digest(bytes([number])).hash, size_bytes=2**62) for number in range(4)]
    assert len(target.find_missing(*four)) == 4
    with refused(Code.INVALID_ARGUMENT):
        target.get(*four)
    if target.cache.splice_blob_support:
        for size in (0, 1, MOST):
            request = rx.SpliceBlobRequest(
                instance_name=target.instance, blob_digest={"hash": H64, "size_bytes": size}, chunk_digests=four
            )
            with refused(Code.INVALID_ARGUMENT):
                target.cas.SpliceBlob(request)


@rule("HD-04")
@pytest.mark.parametrize("text", [H64.upper(), H64[:-1] + H64[-1].upper() if H64[-1].isalpha() else "B" + H64[1:]])
def test_upper_case_and_mixed_hashes_are_refused_by_every_call(target: Target, text: str) -> None:
    all_refuse(codes_of(by_digest(target, rx.Digest(hash=text, size_bytes=3))))
    all_refuse(codes_of(by_name(target, f"blobs/{text}/3")))


@rule("HD-05")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        H64[:-2],
        H64 + "00",
        H64 + "\n",
        "\n" + H64,
        H64 + "\0",
        H64[:-1] + "\u00e9",
        "\u0661" * 64,
        "a" * 1_000_000,
    ],
    ids=lambda text: repr(text[:70]),
)
def test_hashes_of_wrong_length_and_letters_are_refused_by_every_call(target: Target, text: str) -> None:
    all_refuse(codes_of(by_digest(target, rx.Digest(hash=text, size_bytes=3))))
    if len(text) < 1000:
        all_refuse(codes_of(by_name(target, f"blobs/{text}/3")))


@rule("HD-05")
def test_a_hash_of_10_mib_is_refused(target: Target) -> None:
    with refused(*REFUSED):
        target.find_missing(rx.Digest(hash="a" * (10 << 20), size_bytes=3))


@rule("HD-06")
@pytest.mark.parametrize(
    "text",
    [
        "../" * 21 + "a",
        "/etc/passwd",
        "..",
        "." * 64,
        "/" * 64,
        "a/" * 32,
        H64[:32] + "/../" + H64[36:],
        "\0" * 64,
        "%2e" * 21 + "a",
    ],
)
def test_hashes_that_would_be_paths_are_refused_by_every_call(target: Target, text: str) -> None:
    all_refuse(codes_of(by_digest(target, rx.Digest(hash=text, size_bytes=3))))
    all_refuse(codes_of(by_name(target, f"blobs/{text}/3")))


@rule("HD-07")
def test_a_right_hash_with_a_wrong_size_is_absent_or_refused(target: Target) -> None:
    data = fresh(100)
    target.put(data)
    for size in (99, 101, 2**40):
        wrong = rx.Digest(hash=digest(data).hash, size_bytes=size)
        codes = codes_of(by_digest(target, wrong, data))
        assert codes.pop(f"/{REAPI}.ContentAddressableStorage/FindMissingBlobs") is Code.OK
        assert not target.is_present(wrong)
        codes.pop(f"/{REAPI}.ActionCache/UpdateActionResult", None)
        assert set(codes.values()) <= {*REFUSED, Code.NOT_FOUND, Code.FAILED_PRECONDITION}
        with refused(Code.NOT_FOUND, Code.INVALID_ARGUMENT):
            target.read(target.read_name(wrong))


@rule("HD-08")
def test_no_bytes_under_another_hash_and_bytes_under_the_hash_of_none_are_refused(target: Target) -> None:
    for wrong in (rx.Digest(hash=H64, size_bytes=0), rx.Digest(hash=digest(b"").hash, size_bytes=5)):
        all_refuse(codes_of(by_digest(target, wrong, b"x" * wrong.size_bytes)))
        all_refuse(codes_of(by_name(target, f"blobs/{wrong.hash}/{wrong.size_bytes}")))


@rule("HD-09")
def test_absent_and_default_digests_are_refused_by_every_call(target: Target) -> None:
    all_refuse(codes_of(by_digest(target, None)))
    all_refuse(codes_of(by_digest(target, rx.Digest())))
    all_refuse(codes_of(by_digest(target, rx.Digest(size_bytes=3))))


@rule("HD-10")
def test_unknown_values_are_refused_where_they_matter_and_ignored_where_they_are_wishes(target: Target) -> None:
    data = fresh(100)
    blob = target.put(data)
    all_refuse(codes_of(by_digest(target, blob, digest_function=999)))
    all_refuse(codes_of(by_digest(target, blob, digest_function=-(2**31))))
    (answer,) = target.get(blob, acceptable_compressors=[77, -1, 2**31 - 1])
    assert answer.data == data
    one = rx.BatchUpdateBlobsRequest.Request(digest=digest(b"new"), data=b"new", compressor=77)
    request = rx.BatchUpdateBlobsRequest(instance_name=target.instance, requests=[one])
    assert code_of(lambda: target.cas.BatchUpdateBlobs(request)) is Code.INVALID_ARGUMENT
    if target.cache.split_blob_support:
        wish = rx.SplitBlobRequest(instance_name=target.instance, blob_digest=blob, chunking_function=55)
        assert code_of(lambda: target.cas.SplitBlob(wish)) is Code.OK


@rule("HD-11")
def test_several_functions_in_one_request_or_tree_are_refused(target: Target) -> None:
    short = rx.Digest(hash="a" * 40, size_bytes=3)
    with refused(Code.INVALID_ARGUMENT):
        target.find_missing(digest(b"abc"), short)
    with refused(Code.INVALID_ARGUMENT):
        target.get(digest(b"abc"), short)
    if not target.serves(f"/{REAPI}.ContentAddressableStorage/GetTree"):
        not_applicable("GetTree is not served")
    root = target.put(rx.Directory(directories=[{"name": "d", "digest": short}]))
    request = rx.GetTreeRequest(instance_name=target.instance, root_digest=root)
    assert code_of(lambda: target.cas.GetTree(request)) is Code.INVALID_ARGUMENT


@rule("HD-12")
def test_a_blake3_blob_under_a_sha256_name_is_refused(target: Target) -> None:
    for data in (fresh(100), fresh(3 << 20)):
        wrong = digest(data, "BLAKE3")
        with refused(Code.INVALID_ARGUMENT):
            target.write(target.write_name(wrong), data)
        assert not target.is_present(wrong)


PLACE = f"blobs/{H64}/3"
NAMES = [
    f"../{PLACE}",
    f"a/../{PLACE}",
    f"./{PLACE}",
    f"a//{PLACE}",
    f"//{PLACE}",
    f"%2e%2e/{PLACE}",
    f"a\\b/{PLACE}",
    f"a\0b/{PLACE}",
    f"blobs/../{PLACE}",
    f"uploads/{PLACE}",
    f"actions/{PLACE}",
    f"operations/x/{PLACE}",
    f"blobs/blobs/{H64}/3",
    f"compressed-blobs/{PLACE}",
    f"{PLACE}/../../etc/passwd",
    f"blobs/{H64}/3\0",
    f"blobs/{H64}\0/3",
    "a/" * 5000 + PLACE,
    "x" * (1 << 20) + "/" + PLACE,
    "/" * 10_000,
    "blobs/" * 1000,
    f"{'compressed-blobs/zstd/' * 100}{H64}/3",
]


@rule("HD-13")
@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:40]))
def test_hostile_resource_names_are_refused(target: Target, name: str) -> None:
    asked = by_resource(target, name, f"uploads/u/{name}")
    # What follows the size in the name of an upload is the client's own business.
    tolerated = {"Write", "QueryWriteStatus"} if name.startswith(f"{PLACE}/") else set()
    all_refuse({method: code_of(ask) for method, ask in asked.items() if method not in tolerated})


@rule("HD-13")
@pytest.mark.parametrize(
    "name",
    [
        f"uploads//{PLACE}",
        f"uploads/{PLACE}",
        f"uploads/u/uploads/v/{PLACE}",
        f"a/uploads/u/b/{PLACE}",
        f"../uploads/u/{PLACE}",
        f"uploads/u/{PLACE[:-1]}",
        f"upload/u/{PLACE}",
    ],
)
def test_hostile_names_of_uploads_are_refused(target: Target, name: str) -> None:
    all_refuse(codes_of({**by_resource(target, "x", name), "Read": lambda: target.read("x")}))


@rule("HD-13")
def test_a_resource_name_that_is_not_utf_8_is_refused(target: Target) -> None:
    for method in ("Read", "Write", "QueryWriteStatus"):
        with refused(Code.INVALID_ARGUMENT, Code.INTERNAL):
            target.raw(f"/google.bytestream.ByteStream/{method}", b"\x0a\x04\xff\xfe\xfd\xfc")


@rule("HD-14")
@pytest.mark.parametrize(
    "size",
    [
        "+3",
        "003",
        "3_0",
        " 3",
        "3 ",
        "0x3",
        "\u0663",
        "3" * 400,
        "3" * 5000,
        "3.0",
        "3e0",
        "-3",
        "\uff13",
        "3\n",
        "",
        "0",
    ],
)
def test_sizes_written_in_other_ways_are_refused(target: Target, size: str) -> None:
    if len(size) < 4000:
        all_refuse(codes_of(by_name(target, f"blobs/{H64}/{size}")))
    else:
        assert set(codes_of(by_name(target, f"blobs/{H64}/{size}")).values()) <= REFUSED


@rule("HD-15")
@pytest.mark.parametrize("segment", ["BLAKE3", "Blake3", "sha3", "md5", "sha1", "vso", "murmur3", "blake3/blake3", "9"])
def test_unknown_and_miswritten_functions_in_names_are_refused(target: Target, segment: str) -> None:
    all_refuse(codes_of(by_name(target, f"blobs/{segment}/{H64}/3")))


@rule("HD-16")
@pytest.mark.parametrize(
    "name",
    [
        "../",
        "..",
        "a/../b",
        "a\0b",
        "%00",
        "a\nb",
        "\x1b[2J",
        "x" * (64 << 10),
        "\u0430/b/c",
        "a/b/\u0441",
        "\U0001f600",
        "a b",
        "*",
    ],
    ids=lambda name: repr(name[:20]),
)
def test_hostile_instance_names_are_refused_by_every_call(target: Target, name: str) -> None:
    refusals = {Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.PERMISSION_DENIED, Code.RESOURCE_EXHAUSTED}
    codes = codes_of(by_instance(target, name))
    assert codes
    assert set(codes.values()) <= refusals, codes


@rule("HD-17")
def test_a_header_that_differs_from_the_request_opens_nothing(target: Target) -> None:
    absent = target.read_name(digest(fresh(60)))
    present = target.read_name(target.put(fresh(60)))
    header = f"{REAPI}.resource-name"
    with refused(Code.NOT_FOUND, Code.INVALID_ARGUMENT):
        target.read(absent, metadata=[(header, present)])
    for value in ("../../etc/passwd", "x" * 4000, ""):
        call = target.bytestream.Read(bs.ReadRequest(resource_name=present), metadata=[(header, value)])
        assert code_of(lambda call=call: call) in (Code.OK, Code.INVALID_ARGUMENT)

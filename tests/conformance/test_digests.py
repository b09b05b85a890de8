"""DIG: digests and digest functions."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.conformance.calls import by_digest, by_name, code_of, codes_of
from tests.conformance.catalogue import departure, rule
from tests.conformance.own import HERE, Own, Process
from tests.conformance.target import (
    Code,
    Target,
    bs,
    digest,
    fresh,
    function_number,
    not_applicable,
    refused,
    rx,
    status_of,
)
from tests.conformance.unpacking import packed, unpacked

H64 = digest(b"abc").hash
SHA256, BLAKE3 = function_number("SHA256"), function_number("BLAKE3")


def stated(target: Target, name: str) -> str:
    return name if name in target.functions else not_applicable(f"{name} is not announced")


@rule("DIG-01")
@pytest.mark.parametrize("text", [H64.upper(), H64[:-1], H64 + "0", "g" + H64[1:], H64 + "\n", f" {H64[1:]}"])
def test_a_hash_is_lower_case_hex_of_the_full_length(target: Target, text: str) -> None:
    with refused(Code.INVALID_ARGUMENT):
        target.find_missing(rx.Digest(hash=text, size_bytes=3))


@rule("DIG-02")
def test_a_right_hash_with_a_wrong_size_names_nothing(target: Target) -> None:
    data = fresh(3)
    target.put(data)
    wrong = rx.Digest(hash=digest(data).hash, size_bytes=4)
    assert not target.is_present(wrong)
    with refused(Code.NOT_FOUND, Code.INVALID_ARGUMENT):
        target.read(target.read_name(wrong))
    assert [status.code for status in target.update((wrong, data))] == [Code.INVALID_ARGUMENT.value[0]]


@rule("DIG-03")
def test_a_negative_size_is_refused(target: Target) -> None:
    with refused(Code.INVALID_ARGUMENT):
        target.find_missing(rx.Digest(hash=H64, size_bytes=-1))
    for name, code in codes_of(by_name(target, f"blobs/{H64}/-1")).items():
        assert code is Code.INVALID_ARGUMENT, name


@rule("DIG-04")
def test_only_the_hash_of_no_bytes_has_size_0(target: Target) -> None:
    wrong = rx.Digest(hash=H64, size_bytes=0)
    asked = status_of(lambda: target.find_missing(wrong))
    assert asked.code is Code.INVALID_ARGUMENT or (asked.code is Code.OK and not target.is_present(wrong))
    with refused(Code.INVALID_ARGUMENT):
        target.write(target.write_name(wrong), b"")


@rule("DIG-05")
def test_the_empty_blob_is_there_for_every_function_and_every_way_to_ask(target: Target) -> None:
    for function in target.functions:
        empty = digest(b"", function)
        number = function_number(function)
        assert target.is_present(empty, digest_function=number)
        (answer,) = target.get(empty, digest_function=number)
        assert (answer.status.code, answer.data) == (0, b"")
        assert target.read(target.read_name(empty, function)) == b""
        for compressor in target.compressors:
            assert unpacked(compressor, target.read(target.read_name(empty, function, compressor))) == b""


@rule("DIG-05")
def test_an_action_runs_on_an_empty_input_root_that_nobody_uploaded(target: Target, worker: None) -> None:
    command = target.put(rx.Command(arguments=["/bin/echo", fresh(4).hex()]))
    action = target.put(rx.Action(command_digest=command, input_root_digest=digest(b"")))
    request = rx.ExecuteRequest(instance_name=target.instance, action_digest=action)
    *_, last = target.execution.Execute(request)
    response = rx.ExecuteResponse()
    assert last.response.Unpack(response)
    assert (response.status.code, response.result.exit_code) == (0, 0), response


@rule("DIG-06")
@pytest.mark.parametrize(
    ("digits", "functions"),
    [
        (64, {"SHA256"}),
        (40, {"SHA1"}),
        (32, {"MD5", "MURMUR3"}),
        (96, {"SHA384"}),
        (128, {"SHA512"}),
        (66, {"VSO"}),
    ],
)
def test_the_function_is_inferred_from_the_hash(target: Target, digits: int, functions: set[str]) -> None:
    announced = {rx.DigestFunction.Value.Name(number) for number in target.cache.digest_functions}
    asked = status_of(lambda: target.find_missing(rx.Digest(hash="a" * digits, size_bytes=3)))
    assert asked.code is (Code.OK if announced & functions else Code.INVALID_ARGUMENT)


@rule("DIG-07")
def test_a_blake3_blob_goes_up_and_down_when_the_function_is_stated(target: Target) -> None:
    stated(target, "BLAKE3")
    data = fresh(5000)
    wanted = digest(data, "BLAKE3")
    assert target.write(target.write_name(wanted, "BLAKE3"), data) == len(data)
    assert target.read(target.read_name(wanted, "BLAKE3")) == data
    assert target.is_present(wanted, digest_function=BLAKE3)
    assert [one.data for one in target.get(wanted, digest_function=BLAKE3)] == [data]


@rule("DIG-07")
def test_data_under_its_blake3_hash_is_not_taken_for_sha256(target: Target) -> None:
    data = fresh(50)
    wanted = digest(data, "BLAKE3")
    with refused(Code.INVALID_ARGUMENT):
        target.write(target.write_name(wanted), data)
    assert [status.code for status in target.update((wanted, data))] == [Code.INVALID_ARGUMENT.value[0]]


@rule("DIG-07", refused=True)
def test_a_blake3_blob_is_not_there_when_no_function_is_stated(target: Target) -> None:
    stated(target, "BLAKE3")
    with refused(Code.NOT_FOUND):
        target.read(target.read_name(target.put(fresh(50), "BLAKE3")))


@departure("DIG-07")
def test_a_blake3_blob_is_read_by_its_hash_whichever_function_is_stated(target: Target) -> None:
    data = fresh(50)
    assert target.read(target.read_name(target.put(data, "BLAKE3"))) == data


@rule("DIG-08")
def test_a_server_may_have_blake3_as_its_default(own: Own, tmp_path: Path) -> None:
    process = Process("blake3", HERE / "blake3.json5", tmp_path)
    try:
        target = Target(process.addresses[0], "")
        data, large = fresh(50), fresh(70_000)
        wanted, other = digest(data, "BLAKE3"), digest(large, "BLAKE3")
        assert [status.code for status in target.update((wanted, data))] == [0]
        assert target.write(target.write_name(other), large) == len(large)
        assert target.find_missing(wanted, other) == []
        assert target.read(target.read_name(other)) == large
        assert [status.code for status in target.update((digest(data + b"x"), data + b"x"))] != [0]
        target.close()
    finally:
        process.stop()


@rule("DIG-09")
def test_one_call_uses_one_function(target: Target) -> None:
    with refused(Code.INVALID_ARGUMENT):
        target.find_missing(rx.Digest(hash=H64, size_bytes=3), rx.Digest(hash="a" * 40, size_bytes=3))


@rule("DIG-10", refused=True)
def test_blobs_of_different_functions_are_different_objects(target: Target) -> None:
    stated(target, "BLAKE3")
    assert not target.is_present(target.put(fresh(30)), digest_function=BLAKE3)


@departure("DIG-10")
def test_a_blob_is_present_under_its_hash_whichever_function_is_asked_for(target: Target) -> None:
    assert target.is_present(target.put(fresh(30)), digest_function=BLAKE3)


@rule("DIG-11")
@pytest.mark.parametrize("number", [2, 3, 4, 5, 6, 7, 8, 10, 999, -1])
def test_a_function_that_is_not_announced_is_refused(target: Target, number: int) -> None:
    if number in target.cache.digest_functions:
        number = 1000 + number
    for name, code in codes_of(by_digest(target, digest(b"x"), digest_function=number)).items():
        assert code is Code.INVALID_ARGUMENT, name


@rule("DIG-12")
def test_a_hash_of_another_length_than_its_stated_function_has_is_refused(target: Target) -> None:
    wrong = rx.Digest(hash="a" * 40, size_bytes=3)
    for name, code in codes_of(by_digest(target, wrong, digest_function=SHA256)).items():
        assert code is Code.INVALID_ARGUMENT, name


@rule("DIG-13")
def test_a_required_digest_that_is_absent_is_refused(target: Target) -> None:
    for name, code in codes_of(by_digest(target, None)).items():
        assert code is Code.INVALID_ARGUMENT, name


@rule("DIG-14")
def test_an_action_with_unknown_fields_is_cached_under_the_bytes_that_were_uploaded(
    target: Target, worker: None
) -> None:
    command = target.put(rx.Command(arguments=["/bin/echo", fresh(4).hex()]))
    plain = rx.Action(command_digest=command, input_root_digest=digest(b"")).SerializeToString()
    # Field 1000, a varint: no Action has it.
    peculiar = plain + b"\xc0\x3e\x01"
    for data in (peculiar, plain):
        target.put(data)
    *_, last = target.execution.Execute(
        rx.ExecuteRequest(instance_name=target.instance, action_digest=digest(peculiar))
    )
    response = rx.ExecuteResponse()
    assert last.response.Unpack(response)
    assert response.status.code in (0, Code.INVALID_ARGUMENT.value[0])
    found = {
        data: status_of(
            lambda data=data: target.ac.GetActionResult(
                rx.GetActionResultRequest(instance_name=target.instance, action_digest=digest(data))
            )
        ).code
        for data in (peculiar, plain)
    }
    assert found[plain] is Code.NOT_FOUND
    assert found[peculiar] is (Code.OK if response.status.code == 0 else Code.NOT_FOUND)


@rule("DIG-16")
def test_gitsha1_hashes_the_header_of_a_git_blob_first(target: Target) -> None:
    number = rx.DigestFunction.Value.Value("GITSHA1")
    if number not in target.cache.digest_functions:
        not_applicable("GITSHA1 is not announced")
    wanted = rx.Digest(hash=hashlib.sha1(b"blob 3\0abc").hexdigest(), size_bytes=3)
    assert wanted.hash == "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"
    assert [status.code for status in target.update((wanted, b"abc"), digest_function=number)] == [0]


@rule("DIG-17")
def test_weak_functions_are_not_announced(target: Target) -> None:
    announced = {rx.DigestFunction.Value.Name(number) for number in target.cache.digest_functions}
    assert announced & {"VSO", "MURMUR3"} == set()


@rule("DIG-18")
@pytest.mark.parametrize("size", [100, 2 << 20])
def test_every_path_of_upload_is_verified(target: Target, size: int) -> None:
    data = bytearray(fresh(size))
    wanted = digest(bytes(data))
    data[size // 2] ^= 1
    damaged = bytes(data)
    codes = {"Write": code_of(lambda: target.bytestream.Write(_upload(target.write_name(wanted), damaged)))}
    codes["BatchUpdateBlobs"] = code_of(
        lambda: target.cas.BatchUpdateBlobs(
            rx.BatchUpdateBlobsRequest(
                instance_name=target.instance,
                requests=[rx.BatchUpdateBlobsRequest.Request(digest=wanted, data=damaged)],
            )
        )
    )
    for compressor in target.compressors:
        name = target.write_name(wanted, compressor=compressor)
        codes[compressor] = code_of(
            lambda name=name, compressor=compressor: target.bytestream.Write(_upload(name, packed(compressor, damaged)))
        )
    if target.cache.splice_blob_support:
        codes["SpliceBlob"] = code_of(
            lambda: target.cas.SpliceBlob(
                rx.SpliceBlobRequest(
                    instance_name=target.instance, blob_digest=wanted, chunk_digests=[target.put(damaged)]
                )
            )
        )
    assert codes == dict.fromkeys(codes, Code.INVALID_ARGUMENT)
    assert not target.is_present(wanted)


def _upload(name: str, data: bytes) -> object:
    middle = len(data) // 2
    return iter(
        [
            bs.WriteRequest(resource_name=name, data=data[:middle]),
            bs.WriteRequest(write_offset=middle, data=data[middle:], finish_write=True),
        ]
    )

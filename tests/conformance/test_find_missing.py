"""FMB: FindMissingBlobs."""

from __future__ import annotations

import grpc

from tests.conformance.catalogue import rule
from tests.conformance.own import SMALL_BYTES, SMALL_INSTANCE, Own
from tests.conformance.target import Code, Target, bs, digest, fresh, key, not_applicable, refused, rx


@rule("FMB-01")
def test_exactly_the_absent_digests_come_back_unchanged(target: Target) -> None:
    present = [target.put(fresh(20)) for _ in range(3)]
    absent = [digest(fresh(20)) for _ in range(2)]
    missing = target.find_missing(present[0], absent[0], present[1], absent[1], present[2])
    assert sorted(map(key, missing)) == sorted(map(key, absent))


@rule("FMB-02")
def test_a_digest_that_is_asked_for_twice_is_missing_once_or_twice(target: Target) -> None:
    absent = digest(fresh(20))
    missing = target.find_missing(absent, absent)
    assert {key(one) for one in missing} == {key(absent)}
    assert len(missing) <= 2


@rule("FMB-03")
def test_nothing_asked_nothing_missing(target: Target) -> None:
    assert target.find_missing() == []


@rule("FMB-04")
def test_being_asked_for_protects_a_present_blob_from_eviction(target: Target, own: Own) -> None:
    def put() -> rx.Digest:
        data = fresh(SMALL_BYTES // 10)
        name = digest(data)
        target.write(target.write_name(name, instance=SMALL_INSTANCE), data)
        return name

    first, second = put(), put()
    for _ in range(30):
        assert target.is_present(first, instance_name=SMALL_INSTANCE)
        put()
    assert not target.is_present(second, instance_name=SMALL_INSTANCE)


@rule("FMB-05")
def test_a_blob_that_was_spliced_of_chunks_is_present(target: Target) -> None:
    if not target.cache.splice_blob_support:
        not_applicable("SpliceBlob is not announced")
    parts = [fresh(1000), fresh(2000)]
    whole = digest(b"".join(parts))
    request = rx.SpliceBlobRequest(
        instance_name=target.instance, blob_digest=whole, chunk_digests=[target.put(part) for part in parts]
    )
    target.cas.SpliceBlob(request)
    assert target.is_present(whole)
    assert target.read(target.read_name(whole)) == b"".join(parts)


@rule("FMB-06")
def test_tens_of_thousands_of_digests_fit_into_one_call(target: Target) -> None:
    present = target.put(fresh(20))
    absent = [rx.Digest(hash=f"{number:064x}", size_bytes=7) for number in range(1, 55_000)]
    missing = target.find_missing(*absent, present)
    assert len(missing) == len(absent)
    assert key(present) not in {key(one) for one in missing}


@rule("FMB-07")
def test_one_malformed_digest_fails_the_whole_call(target: Target) -> None:
    with refused(Code.INVALID_ARGUMENT):
        target.find_missing(target.put(b"good"), rx.Digest(hash="bad", size_bytes=3))


@rule("FMB-08")
def test_a_blob_is_missing_until_its_upload_is_complete(target: Target) -> None:
    data = fresh(300_000)
    wanted = digest(data)
    name = target.write_name(wanted)
    seen: list[bool] = []

    def slowly() -> object:
        yield bs.WriteRequest(resource_name=name, data=data[:200_000])
        seen.append(target.is_present(wanted))
        yield bs.WriteRequest(write_offset=200_000, data=data[200_000:], finish_write=True)

    assert target.send(slowly()) == len(data)
    assert seen == [False]
    assert target.is_present(wanted)


@rule("FMB-09")
def test_what_was_acknowledged_is_present_on_every_connection(target: Target) -> None:
    wanted = target.put(fresh(40))
    with grpc.insecure_channel(target.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        ask = channel.unary_unary(
            "/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs",
            rx.FindMissingBlobsRequest.SerializeToString,
            rx.FindMissingBlobsResponse.FromString,
        )
        answer = ask(rx.FindMissingBlobsRequest(instance_name=target.instance, blob_digests=[wanted]), timeout=90)
    assert not answer.missing_blob_digests

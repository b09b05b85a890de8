"""BUB: BatchUpdateBlobs."""

from __future__ import annotations

from google.rpc import status_pb2

from tests.conformance.catalogue import rule
from tests.conformance.own import SMALL_BYTES, SMALL_INSTANCE, Own
from tests.conformance.target import Code, Target, digest, fresh, not_applicable, refused, rx
from tests.conformance.unpacking import packed

INVALID = Code.INVALID_ARGUMENT.value[0]
COMPRESSORS = rx.Compressor.Value


def codes(statuses: list[status_pb2.Status]) -> list[int]:
    return [status.code for status in statuses]


def pack(target: Target, blob: bytes, data: bytes, compressor: int) -> rx.BatchUpdateBlobsResponse.Response:
    """What is said of one blob that comes in this form."""
    one = rx.BatchUpdateBlobsRequest.Request(digest=digest(blob), data=data, compressor=compressor)
    request = rx.BatchUpdateBlobsRequest(instance_name=target.instance, requests=[one])
    (answer,) = target.cas.BatchUpdateBlobs(request).responses
    return answer


@rule("BUB-01", "BUB-05")
def test_each_blob_of_a_batch_has_its_own_verdict(target: Target) -> None:
    good, bad = fresh(30), fresh(30)
    assert codes(target.update(good, (digest(bad), fresh(30)), (digest(b"abc"), b"ab"))) == [0, INVALID, INVALID]
    assert target.is_present(digest(good))
    assert not target.is_present(digest(bad))


@rule("BUB-02")
def test_every_entry_has_a_status(target: Target) -> None:
    requests = [
        rx.BatchUpdateBlobsRequest.Request(digest=digest(data), data=data) for data in (fresh(30), b"", fresh(31))
    ]
    requests.append(rx.BatchUpdateBlobsRequest.Request(digest=digest(fresh(30)), data=fresh(30)))
    request = rx.BatchUpdateBlobsRequest(instance_name=target.instance, requests=requests)
    answer = target.cas.BatchUpdateBlobs(request)
    assert len(answer.responses) == 4
    assert all(one.HasField("status") and one.HasField("digest") for one in answer.responses)


@rule("BUB-03")
def test_a_batch_above_the_announced_total_is_refused_whole(target: Target) -> None:
    if not target.cache.max_batch_total_size_bytes:
        not_applicable("no largest batch is announced")
    blobs = [fresh(target.most_batch_bytes // 2), fresh(target.most_batch_bytes // 2 + 2)]
    with refused(Code.INVALID_ARGUMENT):
        target.update(*blobs)
    assert len(target.find_missing(*map(digest, blobs))) == 2


@rule("BUB-04")
def test_exactly_the_announced_total_is_taken(target: Target, roomy: str) -> None:
    if not target.cache.max_batch_total_size_bytes:
        not_applicable("no largest batch is announced")
    assert codes(target.update(fresh(target.most_batch_bytes))) == [0]
    count = 10_000
    small = target.most_batch_bytes // count
    blob = fresh(target.most_batch_bytes)
    many = [blob[start : start + small] for start in range(0, small * count, small)]
    assert set(codes(target.update(*many, instance_name=roomy))) == {0}


@rule("BUB-06")
def test_compressors_work_where_they_are_announced_and_are_refused_elsewhere(target: Target) -> None:
    announced = set(target.cache.supported_batch_update_compressors)
    for number in {*COMPRESSORS.values(), 77} - announced - {COMPRESSORS.Value("IDENTITY")}:
        data = fresh(3000)
        assert pack(target, data, data, number).status.code == INVALID
        assert not target.is_present(digest(data))
    for name in {COMPRESSORS.Name(number).lower() for number in announced} & {"zstd", "deflate"}:
        data = fresh(3000) * 3
        form = packed(name, data)
        assert pack(target, data, form, COMPRESSORS.Value(name.upper())).status.code == 0
        assert target.read(target.read_name(digest(data))) == data
        other = fresh(3000)
        assert pack(target, other, form, COMPRESSORS.Value(name.upper())).status.code == INVALID
        assert pack(target, other, other, COMPRESSORS.Value(name.upper())).status.code == INVALID
        assert not target.is_present(digest(other))


@rule("BUB-07")
def test_a_blob_that_never_fits_is_resource_exhausted_by_itself(target: Target, own: Own) -> None:
    large, small = fresh(SMALL_BYTES + 1), fresh(10)
    exhausted = Code.RESOURCE_EXHAUSTED.value[0]
    assert codes(target.update(large, small, instance_name=SMALL_INSTANCE)) == [exhausted, 0]


@rule("BUB-08")
def test_wrong_data_under_a_present_name_changes_nothing(target: Target) -> None:
    data = fresh(100)
    wanted = target.put(data)
    assert codes(target.update(data)) == [0]
    assert codes(target.update((wanted, fresh(100))))[0] in (0, INVALID)
    assert target.read(target.read_name(wanted)) == data


@rule("BUB-09")
def test_a_blob_may_come_twice_in_a_batch(target: Target) -> None:
    data = fresh(100)
    one = rx.BatchUpdateBlobsRequest.Request(digest=digest(data), data=data)
    answer = target.cas.BatchUpdateBlobs(rx.BatchUpdateBlobsRequest(instance_name=target.instance, requests=[one, one]))
    assert {response.status.code for response in answer.responses} == {0}
    assert target.is_present(digest(data))


@rule("BUB-10")
def test_an_empty_batch_and_an_empty_blob_are_taken(target: Target) -> None:
    assert target.update() == []
    assert codes(target.update(b"")) == [0]


@rule("BUB-11")
def test_a_blob_above_the_announced_largest_size_is_refused(target: Target) -> None:
    most = target.cache.max_cas_blob_size_bytes
    if not 0 < most < target.most_batch_bytes:
        not_applicable("no largest blob is announced that fits into a batch")
    assert codes(target.update(fresh(most + 1))) == [INVALID]

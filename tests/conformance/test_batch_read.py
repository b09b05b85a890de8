"""BRB: BatchReadBlobs."""

from __future__ import annotations

from tests.conformance.calls import code_of
from tests.conformance.catalogue import rule
from tests.conformance.own import SMALL_BYTES, SMALL_INSTANCE, Own
from tests.conformance.target import Code, Target, digest, fresh, key, not_applicable, refused, rx
from tests.conformance.unpacking import unpacked

IDENTITY = rx.Compressor.IDENTITY
MISSING = Code.NOT_FOUND.value[0]


@rule("BRB-01")
def test_each_digest_has_an_entry_with_its_name_and_a_status(target: Target) -> None:
    data = fresh(100)
    present, absent = target.put(data), digest(fresh(100))
    answers = target.get(present, absent)
    assert all(one.HasField("status") for one in answers)
    found = {key(one.digest): (one.status.code, one.data) for one in answers}
    assert found == {key(present): (0, data), key(absent): (MISSING, b"")}


@rule("BRB-01")
def test_a_digest_that_is_asked_for_twice_brings_no_foreign_one(target: Target) -> None:
    data = fresh(100)
    wanted = target.put(data)
    answers = target.get(wanted, wanted)
    assert 1 <= len(answers) <= 2
    assert {(key(one.digest), one.status.code, one.data) for one in answers} == {(key(wanted), 0, data)}


@rule("BRB-02")
def test_more_than_the_announced_total_is_refused_by_the_declared_sizes(target: Target) -> None:
    if not target.cache.max_batch_total_size_bytes:
        not_applicable("no largest batch is announced")
    size = target.most_batch_bytes // 2 + 1
    absent = [rx.Digest(hash=f"{number:064x}", size_bytes=size) for number in (1, 2)]
    with refused(Code.INVALID_ARGUMENT):
        target.get(*absent)


@rule("BRB-03")
def test_the_announced_total_reaches_a_client_with_the_usual_limit(target: Target) -> None:
    if not target.cache.max_batch_total_size_bytes:
        not_applicable("no largest batch is announced")
    total = target.most_batch_bytes
    assert total <= (4 << 20) - (64 << 10), "clients receive 4 MiB, and digests and statuses need room as well"
    wanted = [target.put(fresh(total // 20)) for _ in range(20)]
    # This client has the default limit of gRPC.
    assert {key(one.digest) for one in target.get(*wanted) if len(one.data) == total // 20} == set(map(key, wanted))


@rule("BRB-04")
def test_answers_are_plain_or_packed_as_the_client_accepts(target: Target) -> None:
    data = fresh(100) * 50
    wanted = target.put(data)
    (plain,) = target.get(wanted)
    assert (plain.compressor, plain.data) == (IDENTITY, data)
    (plain,) = target.get(wanted, acceptable_compressors=[77])
    assert (plain.compressor, plain.data) == (IDENTITY, data)
    for name in ("zstd", "deflate"):
        number = rx.Compressor.Value.Value(name.upper())
        (one,) = target.get(wanted, acceptable_compressors=[77, number])
        assert one.compressor in (IDENTITY, number)
        assert (one.data if one.compressor == IDENTITY else unpacked(name, one.data)) == data


@rule("BRB-05")
def test_the_empty_blob_reads_as_no_bytes(target: Target) -> None:
    (answer,) = target.get(digest(b""))
    assert (answer.status.code, answer.data) == (0, b"")


@rule("BRB-06")
def test_being_read_protects_a_blob_from_eviction(target: Target, own: Own) -> None:
    def put() -> rx.Digest:
        data = fresh(SMALL_BYTES // 10)
        target.update(data, instance_name=SMALL_INSTANCE)
        return digest(data)

    first, second = put(), put()
    for _ in range(30):
        (answer,) = target.get(first, instance_name=SMALL_INSTANCE)
        assert answer.status.code == 0
        put()
    assert not target.is_present(second, instance_name=SMALL_INSTANCE)


@rule("BRB-07")
def test_a_malformed_digest_is_refused(target: Target) -> None:
    request = rx.BatchReadBlobsRequest(
        instance_name=target.instance, digests=[target.put(b"good"), rx.Digest(hash="bad", size_bytes=1)]
    )
    assert code_of(lambda: target.cas.BatchReadBlobs(request)) is Code.INVALID_ARGUMENT

"""SPL: SplitBlob, SpliceBlob and chunking."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any

import pytest

from tests.conformance import cdc
from tests.conformance.catalogue import rule
from tests.conformance.own import SMALL_BYTES, SMALL_INSTANCE, Own
from tests.conformance.target import REAPI, Code, Target, digest, fresh, function_number, not_applicable, refused, rx

FAST_CDC, REP_MAX_CDC = rx.ChunkingFunction.FAST_CDC_2020, rx.ChunkingFunction.REP_MAX_CDC
CAS = f"/{REAPI}.ContentAddressableStorage"


@pytest.fixture
def splitting(target: Target) -> Target:
    """A server that announces SplitBlob."""
    return target if target.cache.split_blob_support else not_applicable("SplitBlob is not announced")


@pytest.fixture
def splicing(target: Target) -> Target:
    """A server that announces SpliceBlob."""
    return target if target.cache.splice_blob_support else not_applicable("SpliceBlob is not announced")


def split(target: Target, blob: rx.Digest, **fields: Any) -> rx.SplitBlobResponse:
    return target.cas.SplitBlob(
        rx.SplitBlobRequest(**{"instance_name": target.instance, "blob_digest": blob, **fields})
    )


def splice(target: Target, blob: rx.Digest | None, chunks: Sequence[rx.Digest], **fields: Any) -> rx.Digest:
    request = rx.SpliceBlobRequest(
        **{"instance_name": target.instance, "blob_digest": blob, "chunk_digests": chunks, **fields}
    )
    return target.cas.SpliceBlob(request).blob_digest


def average(target: Target) -> int:
    return target.cache.fast_cdc_2020_params.avg_chunk_size_bytes or not_applicable("FastCDC is not announced")


def large(target: Target, times: float = 12.5) -> bytes:
    """A blob of that many average chunks."""
    return fresh(int(average(target) * times))


def parts(target: Target, count: int = 3, size: int = 1000) -> tuple[list[rx.Digest], bytes]:
    data = [fresh(size + number) for number in range(count)]
    return [target.put(one) for one in data], b"".join(data)


@rule("SPL-01")
def test_split_and_splice_are_unimplemented_where_they_are_not_announced(target: Target) -> None:
    assert target.cache.split_blob_support == target.serves(f"{CAS}/SplitBlob")
    assert target.cache.splice_blob_support == target.serves(f"{CAS}/SpliceBlob")


@rule("SPL-01")
def test_another_instance_may_be_without(target: Target, own: Own) -> None:
    blob = target.put(fresh(10))
    for call in (
        lambda: split(target, blob, instance_name=target.other_instance),
        lambda: splice(target, blob, [blob], instance_name=target.other_instance),
    ):
        with refused(Code.UNIMPLEMENTED):
            call()


@rule("SPL-02")
def test_splitting_an_absent_blob_is_not_found(splitting: Target) -> None:
    for size in (10, 10_000_000):
        absent = digest(fresh(32))
        absent.size_bytes = size
        with refused(Code.NOT_FOUND):
            split(splitting, absent)


@rule("SPL-03", "SPL-20")
@pytest.mark.parametrize("function", ["SHA256", "BLAKE3"])
def test_the_chunks_of_a_blob_are_present_and_make_the_blob(splitting: Target, function: str) -> None:
    if function not in splitting.functions:
        function = splitting.functions[0]
    number = function_number(function)
    data = large(splitting)
    blob = splitting.put(data, function)
    answer = split(splitting, blob, digest_function=number)
    assert len(answer.chunk_digests) > 1
    assert splitting.find_missing(*answer.chunk_digests, digest_function=number) == []
    chunks = [splitting.read(splitting.read_name(chunk, function)) for chunk in answer.chunk_digests]
    assert b"".join(chunks) == data
    assert [digest(chunk, function) for chunk in chunks] == list(answer.chunk_digests)
    assert splitting.is_present(blob, digest_function=number)


@rule("SPL-04")
@pytest.mark.parametrize("wish", [0, FAST_CDC, REP_MAX_CDC, 55])
def test_the_chunking_function_is_a_wish_and_the_answer_states_the_one_used(splitting: Target, wish: int) -> None:
    answer = split(splitting, splitting.put(large(splitting)), chunking_function=wish)
    announced = {FAST_CDC} if splitting.cache.HasField("fast_cdc_2020_params") else set()
    announced |= {REP_MAX_CDC} if splitting.cache.HasField("rep_max_cdc_params") else set()
    assert answer.chunking_function in announced


@rule("SPL-05")
def test_no_room_for_chunks_is_resource_exhausted(splitting: Target, own: Own) -> None:
    data = fresh(SMALL_BYTES * 3 // 4)
    blob = digest(data)
    splitting.update(data, instance_name=SMALL_INSTANCE)
    with refused(Code.RESOURCE_EXHAUSTED):
        split(splitting, blob, instance_name=SMALL_INSTANCE)


@rule("SPL-06")
def test_chunks_in_another_order_do_not_make_the_blob(splicing: Target) -> None:
    chunks, data = parts(splicing, size=500)
    with refused(Code.INVALID_ARGUMENT):
        splice(splicing, digest(data), chunks[::-1])
    assert not splicing.is_present(digest(data))
    splice(splicing, digest(data), chunks)
    assert splicing.read(splicing.read_name(digest(data))) == data


@rule("SPL-07")
def test_splicing_with_a_missing_chunk_is_not_found(splicing: Target) -> None:
    chunks, data = parts(splicing)
    absent = fresh(50)
    with refused(Code.NOT_FOUND):
        splice(splicing, digest(data + absent), [*chunks, digest(absent)])
    assert not splicing.is_present(digest(data + absent))


@rule("SPL-08")
def test_splicing_a_present_blob_is_fine_with_any_chunks(splicing: Target) -> None:
    chunks, data = parts(splicing)
    blob = digest(data)
    assert splice(splicing, blob, chunks) == blob
    assert splice(splicing, blob, chunks) == blob
    others = [splicing.put(data[:700]), splicing.put(data[700:])]
    assert splice(splicing, blob, others) == blob


@rule("SPL-09")
def test_the_sizes_of_the_chunks_add_up_to_the_blob(splicing: Target) -> None:
    chunks, data = parts(splicing)
    longer, enormous = digest(data), rx.Digest(hash="a" * 64, size_bytes=2**62)
    longer.size_bytes += 1
    for blob, pieces in (
        (None, chunks),
        (longer, chunks),
        (digest(data), []),
        (digest(data), [*chunks, chunks[0]]),
        (digest(data), [enormous] * 4),
        (rx.Digest(hash="a" * 64, size_bytes=2**63 - 1), [enormous, enormous]),
    ):
        with refused(Code.INVALID_ARGUMENT):
            splice(splicing, blob, pieces)
    assert splice(splicing, digest(b""), []) == digest(b"")


@rule("SPL-10", "SPL-11")
@pytest.mark.parametrize("function", [0, FAST_CDC])
def test_the_answer_names_the_blob_and_no_chunking_function_is_needed(splicing: Target, function: int) -> None:
    chunks, data = parts(splicing)
    assert splice(splicing, digest(data), chunks, chunking_function=function) == digest(data)
    assert splicing.read(splicing.read_name(digest(data))) == data


@rule("SPL-12")
def test_a_blake3_blob_is_spliced_though_the_function_was_left_out(splicing: Target) -> None:
    if "BLAKE3" not in splicing.functions:
        not_applicable("BLAKE3 is not announced")
    data = [fresh(1000), fresh(1500)]
    chunks = [splicing.put(one, "BLAKE3") for one in data]
    whole = digest(b"".join(data), "BLAKE3")
    assert splice(splicing, whole, chunks) == whole
    assert splicing.read(splicing.read_name(whole, "BLAKE3")) == b"".join(data)


@rule("SPL-13")
def test_the_announced_parameters_are_within_their_ranges(splitting: Target) -> None:
    assert 1 << 10 <= average(splitting) <= 1 << 20


@rule("SPL-14", "SPL-16")
def test_blobs_are_cut_where_the_algorithm_says(splitting: Target) -> None:
    usual, seed = average(splitting), splitting.cache.fast_cdc_2020_params.seed
    assert cdc.gear(0)[0] == 0x3B5D3C7D207E37DC
    for size in (20 * usual, 20 * usual + 1, 4 * usual, 4 * usual + 1, 5 * usual + 3):
        # What repeats gives cuts of the largest size, noise those of usual ones.
        data = fresh(size // 2) + bytes(size - size // 2)
        answer = split(splitting, splitting.put(data), chunking_function=FAST_CDC)
        wanted = list(cdc.lengths(data, usual, seed))
        assert [chunk.size_bytes for chunk in answer.chunk_digests] == wanted
        ends = list(accumulate(wanted))
        assert answer.chunk_digests[-1] == digest(data[ends[-1] - wanted[-1] :])


@rule("SPL-18")
def test_split_splice_and_the_parameters_are_announced_together(splitting: Target) -> None:
    cache = splitting.cache
    assert cache.splice_blob_support
    assert cache.HasField("fast_cdc_2020_params") or cache.HasField("rep_max_cdc_params")


@rule("SPL-19")
@pytest.mark.parametrize("function", [0, FAST_CDC])
def test_no_chunk_of_an_answer_is_larger_than_its_function_allows(
    splitting: Target, splicing: Target, function: int
) -> None:
    data = large(splitting)
    blob, middle = digest(data), len(data) // 2
    halves = [splitting.put(data[:middle]), splitting.put(data[middle:])]
    splice(splitting, blob, halves, chunking_function=function)
    answer = split(splitting, blob, chunking_function=FAST_CDC)
    assert all(0 < chunk.size_bytes <= 4 * average(splitting) for chunk in answer.chunk_digests)
    assert sum(chunk.size_bytes for chunk in answer.chunk_digests) in (0, len(data))
    assert {len(chunk.hash) for chunk in answer.chunk_digests} <= {64}


@rule("SPL-20")
def test_a_small_blob_is_one_chunk_or_none(splitting: Target) -> None:
    for data in (b"", fresh(1), fresh(1000)):
        answer = split(splitting, splitting.put(data))
        assert list(answer.chunk_digests) in ([], [digest(data)])


@rule("SPL-21")
def test_sixteen_chunks_at_once_become_a_blob(splicing: Target) -> None:
    pieces = [fresh(200_000) for _ in range(48)]

    def upload(piece: bytes) -> rx.Digest:
        name = digest(piece)
        assert splicing.write(splicing.write_name(name), piece) == len(piece)
        return name

    with ThreadPoolExecutor(16) as threads:
        chunks = list(threads.map(upload, pieces))
    whole = digest(b"".join(pieces))
    assert splice(splicing, whole, chunks) == whole

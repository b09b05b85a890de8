"""Pieces end where REAPI v2 says that they end, however the bytes come."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.cut import named
from nlserver.fastcdc import Cutter, Sizes
from nlserver.reapi.digest import Function, of

GEAR = [int.from_bytes(hashlib.md5(bytes([byte]) * 64).digest()[:8], "big") for byte in range(256)]
MASKS = {
    8: 0x1800035300,
    9: 0x19000353000,
    10: 0x590003530000,
    11: 0xD90003530000,
    12: 0xD90103530000,
    13: 0xD90303530000,
    14: 0xD90313530000,
    15: 0xD90F03530000,
    16: 0xD90303537000,
    17: 0xD90703537000,
    18: 0xD90707537000,
    19: 0xD91707537000,
    20: 0xD91747537000,
    21: 0xD91767537000,
    22: 0xD93767537000,
}
"""By the logarithm of the size that a mask stands for."""
VECTORS = Sizes(4096, 16384, 65535)
"""The sizes of the vectors that remote-apis publishes."""


def first_cut(data: bytes, sizes: Sizes) -> int:
    """Where the first piece of `data` ends: the rules of REAPI v2, word by word, a byte at a time."""
    if len(data) <= sizes.least:
        return len(data)
    window = min(len(data), sizes.most)
    centre = min(window, sizes.normal)
    logarithm = sizes.normal.bit_length() - 1
    fingerprint = 0
    for place in range(sizes.least // 2 * 2, window // 2 * 2):
        fingerprint = ((fingerprint << 1) + (GEAR[data[place]] ^ sizes.seed)) % 2**64
        if fingerprint & MASKS[logarithm + 2 if place < centre // 2 * 2 else logarithm - 2] == 0:
            return place
    return window


def expected(data: bytes, sizes: Sizes) -> list[int]:
    """The lengths of all pieces."""
    lengths = []
    while data:
        lengths.append(first_cut(data, sizes))
        data = data[lengths[-1] :]
    return lengths


def parts(data: bytes, ends: list[int]) -> Iterator[bytes]:
    """The data in parts that end here, and the rest."""
    for start, end in zip([0, *ends], [*ends, len(data)], strict=True):
        yield data[start:end]


def pieces(data: bytes, sizes: Sizes, ends: list[int]) -> list[bytes]:
    cutter = Cutter(sizes)
    found = []
    for part in parts(data, ends):
        cutter.feed(part)
        if cutter.due:
            taken = cutter.take()
            assert taken
            assert cutter.held < sizes.most
            found += taken
    return [*found, *cutter.finish()]


def noise(size: int) -> bytes:
    return random.Random(11).randbytes(size)


def test_the_gear_table_is_that_of_the_reference_implementations() -> None:
    assert GEAR[0] == 0x3B5D3C7D207E37DC


@pytest.mark.parametrize(
    ("seed", "lengths"),
    [
        (0, [17146, 16409, 17561, 18684, 27865, 18762, 18051, 24532, 30972, 10018]),
        (666, [23574, 18072, 16457, 16754, 16407, 21344, 19381, 16985, 7991, 6003, 19460, 17572]),
    ],
)
def test_what_was_once_cut_so_is_cut_so_for_ever(seed: int, lengths: list[int]) -> None:
    sizes = Sizes(VECTORS.least, VECTORS.normal, VECTORS.most, seed)
    assert [len(piece) for piece in pieces(noise(200_000), sizes, [])] == lengths == expected(noise(200_000), sizes)


@pytest.mark.parametrize("average", [1 << 10, 1 << 14, 1 << 19])
def test_the_sizes_of_the_api_follow_from_the_average(average: int) -> None:
    sizes = Sizes.around(average)
    assert (sizes.least, sizes.normal, sizes.most) == (average // 4, average, 4 * average)
    assert sizes.problem() is None
    data = noise(4 * average + 4321)
    assert [len(piece) for piece in pieces(data, sizes, [])] == expected(data, sizes)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 66, 67, 1023, 1024, 1025, 1026, 1099, 1100, 1101, 1102])
def test_odd_ends_and_borders_are_cut_as_the_api_says(length: int) -> None:
    for sizes in (Sizes(64, 1024, 1100), Sizes(65, 1025, 1101)):
        # A byte that never matches leaves the borders alone to decide.
        for data in (bytes(length), noise(length)):
            assert [len(piece) for piece in pieces(data, sizes, [])] == expected(data, sizes)


@settings(deadline=None)
@given(st.data())
def test_cuts_do_not_depend_on_how_the_bytes_come(data: st.DataObject) -> None:
    least = data.draw(st.integers(64, 300))
    sizes = Sizes(least, 1 << data.draw(st.sampled_from([10, 11])), 2048 + data.draw(st.integers(0, 3000)), least)
    blob = data.draw(st.sampled_from([noise, bytes, lambda size: b"ab" * (size // 2)]))(data.draw(st.integers(0, 9000)))
    ends = sorted(data.draw(st.lists(st.integers(0, len(blob)), max_size=8)))
    found = pieces(blob, sizes, ends)
    assert b"".join(found) == blob
    assert [len(piece) for piece in found] == expected(blob, sizes)


def test_what_is_inserted_changes_only_pieces_nearby() -> None:
    data = noise(1 << 20)
    before = set(pieces(data, Sizes.around(4096), []))
    after = set(pieces(data[:500_000] + b"inserted" + data[500_000:], Sizes.around(4096), []))
    assert len(after - before) <= 3


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [
        (Sizes(63, 256, 1024), "the smallest chunk must have 64 to 1048576 bytes, not 63"),
        (Sizes(64, 255, 1024), "the normal chunk must have 256 to 4194304 bytes, not 255"),
        (Sizes(64, 256, 1 << 25), "the largest chunk must have 1024 to 16777216 bytes, not 33554432"),
        (Sizes(2000, 1000, 3000), "chunk sizes must not fall from 2000 to 1000 to 3000 bytes"),
        (Sizes(64, 2000, 1999), "chunk sizes must not fall from 64 to 2000 to 1999 bytes"),
    ],
)
def test_sizes_that_cut_nothing_are_told(sizes: Sizes, problem: str) -> None:
    assert sizes.problem() == problem


@pytest.mark.parametrize("function", Function)
@pytest.mark.parametrize("size", [0, 1, 50_000, 3_000_000])
async def test_a_stream_is_cut_and_its_pieces_named_while_it_moves(function: Function, size: int) -> None:
    data, sizes = noise(size), Sizes.around(1 << 16)
    pulled = given = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal pulled
        for part in parts(data, list(range(100_000, len(data), 100_000))):
            pulled += len(part)
            yield part

    found = []
    async for blobs in named(stream(), sizes, function):
        assert blobs
        found += blobs
        given += sum(len(blob.data) for blob in blobs)
        assert pulled - given < sizes.most
    assert [len(blob.data) for blob in found] == expected(data, sizes)
    assert b"".join(blob.data for blob in found) == data
    assert [blob.digest for blob in found] == [of(blob.data, function) for blob in found]

"""Compression keeps NativeLink's format, and never decodes more than it must."""

from __future__ import annotations

import random
import struct
from collections.abc import AsyncGenerator, Callable
from typing import Any

import lz4.block
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.blocks import Decoder, Encoder, Footer, parse_footer
from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest, of
from nlserver.store import Key, Store, Wrapper
from nlserver.stores.compression import Compression, CompressionSpec, Lz4Spec
from nlserver.stores.memory import MemorySpec
from nlserver.streams import closing, gather, once

DATA = random.Random(3).randbytes(300) + bytes(1500) + b"the end"


def encoded(data: bytes, block_size: int, *cuts: int) -> bytes:
    encoder = Encoder(block_size, len(data))
    parts, start = [], 0
    for cut in (*cuts, len(data)):
        parts.append(encoder.feed(data[start : start + cut]))
        start += cut
    return b"".join(parts) + encoder.finish()


def decoded(stored: bytes, most_block_bytes: int = 1 << 20, step: int = 1 << 20, most: int = 1 << 20) -> bytes:
    decoder = Decoder(most_block_bytes)
    plain = b""
    for start in range(0, len(stored), step):
        decoder.feed(stored[start : start + step])
        while piece := decoder.take(most):
            plain += piece
    decoder.finish()
    return plain


def test_the_bytes_are_those_of_nativelink() -> None:
    first, second, third = (lz4.block.compress(DATA[n : n + 1000], store_size=False) for n in (0, 1000, 2000))
    assert len(DATA) == 1807
    assert third == b"\x00"
    expected = struct.pack("<BIIQ", 1, 1000, 1, 1807)
    expected += struct.pack("<BI", 0, len(first)) + first + struct.pack("<BI", 0, len(second)) + second
    # The index leaves the last block out, and counts neither frame headers nor the header.
    body = struct.pack("<QI", 1, len(first)) + struct.pack("<IQIB", 1, 1807, 1000, 1)
    expected += struct.pack("<BI", 1, len(body)) + body
    assert encoded(DATA, 1000) == expected
    assert decoded(expected) == DATA


def test_no_bytes_are_a_header_and_a_footer() -> None:
    stored = encoded(b"", 1000)
    assert len(stored) == 17 + 5 + 25
    assert decoded(stored) == b""


@given(st.binary(max_size=4000), st.integers(1, 700), st.integers(1, 900), st.integers(1, 5000))
@settings(max_examples=100)
def test_whatever_is_encoded_is_decoded(data: bytes, block_size: int, step: int, most: int) -> None:
    stored = encoded(data, block_size, *[step] * (len(data) // step))
    assert decoded(stored, block_size, step, most) == data


def outcome(work: Callable[[bytes], object], stored: bytes) -> object:
    """What comes of it: a value, or the code of an Error; any other exception fails the test."""
    try:
        return work(stored)
    except Error as error:
        return error.code


REFUSALS = (Code.DATA_LOSS, Code.FAILED_PRECONDITION)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_value_or_an_error(junk: bytes) -> None:
    for stored in (junk, encoded(DATA, 100)[:60] + junk, encoded(DATA, 100)[:-30] + junk):
        found = outcome(decoded, stored)
        assert isinstance(found, bytes) or found in REFUSALS
        assert isinstance(outcome(parse_footer, junk), Footer | Code)


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=150)
def test_a_damaged_byte_never_passes_as_data_of_another_size(place: int, change: int) -> None:
    stored = bytearray(encoded(DATA, 100))
    stored[place % len(stored)] ^= change
    found = outcome(decoded, bytes(stored))
    assert found in REFUSALS or (isinstance(found, bytes) and len(found) == len(DATA))


@pytest.mark.parametrize("missing", [1, 5, 30, 100, 1000])
def test_a_torn_value_is_an_error(missing: int) -> None:
    with pytest.raises(Error) as caught:
        decoded(encoded(DATA, 100)[:-missing])
    assert caught.value.code is Code.DATA_LOSS


def test_a_bomb_is_taken_in_small_pieces() -> None:
    decoder = Decoder(1 << 16)
    decoder.feed(encoded(bytes(64 << 20), 1 << 16))
    pieces = 0
    while piece := decoder.take(1 << 20):
        assert len(piece) <= (1 << 20) + (1 << 16)
        pieces += 1
    assert pieces == 64
    decoder.finish()


def test_a_footer_that_counts_wrongly_is_an_error() -> None:
    frame = Footer([10, 20, 30], 100, 25).pack()
    assert parse_footer(frame).start(2) == 17 + 10 + 20 + 2 * 5
    with pytest.raises(Error):
        parse_footer(Footer([10, 20], 100, 25).pack())


class Counting(Wrapper):
    """Counts the bytes that are read of its backend."""

    bytes_read = 0

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        async with closing(self.backend.read(key, offset, limit)) as chunks:
            async for chunk in chunks:
                self.bytes_read += len(chunk)
                yield chunk


class Rounding(Wrapper):
    """Says that values have whole blocks, as a NativeLink peer does."""

    async def sizes(self, keys: Any) -> list[int | None]:
        return [size and -(-size // 4096) * 4096 for size in await self.backend.sizes(keys)]


NOISE = random.Random(5).randbytes(20 << 20)


async def read(store: Store, key: Digest, offset: int, limit: int | None) -> bytes:
    return await gather(store.read(key, offset, limit), 1 << 30)


async def test_a_small_read_far_inside_does_not_decode_everything(build: Callable[..., Store]) -> None:
    backend = Counting(build(MemorySpec()))
    store = Compression(backend, 1 << 16, 1 << 16)
    key = of(NOISE)
    await store.write(key, once(NOISE))
    assert await read(store, key, 15_000_000, 1000) == NOISE[15_000_000:15_001_000]
    assert backend.bytes_read < 400_000
    assert await read(store, key, 20_900_000, None) == NOISE[20_900_000:]
    assert backend.bytes_read < 800_000


async def test_an_early_stop_reads_little_of_the_backend(build: Callable[..., Store]) -> None:
    backend = Counting(build(MemorySpec()))
    store = Compression(backend, 1 << 16, 1 << 16)
    await store.write(of(NOISE), once(NOISE))
    assert await read(store, of(NOISE), 10, 100) == NOISE[10:110]
    assert backend.bytes_read <= 2 << 20


async def test_a_backend_that_rounds_sizes_is_read_from_the_start(build: Callable[..., Store]) -> None:
    store = Compression(Rounding(build(MemorySpec())), 1 << 16, 1 << 16)
    await store.write(of(NOISE), once(NOISE))
    assert await read(store, of(NOISE), 15_000_000, 1000) == NOISE[15_000_000:15_001_000]


async def test_an_index_larger_than_the_tail_is_read_whole(build: Callable[..., Store]) -> None:
    store = Compression(build(MemorySpec()), 100, 100)
    data = NOISE[: 6 << 20]
    await store.write(of(data), once(data))
    assert await read(store, of(data), 5_000_000, 300) == data[5_000_000:5_000_300]


async def test_blocks_larger_than_allowed_are_refused(build: Callable[..., Store]) -> None:
    backend = build(MemorySpec())
    data = NOISE[: 3 << 20]
    await Compression(backend, 1 << 17, 1 << 17).write(of(data), once(data))
    for offset in (0, 2 << 20):
        with pytest.raises(Error, match="Block size is too large in compression, got 131072 > 65536") as caught:
            await read(Compression(backend, 1 << 16, 1 << 16), of(data), offset, 10)
        assert caught.value.code is Code.FAILED_PRECONDITION


async def test_easy_data_takes_little_room(build: Callable[..., Store]) -> None:
    store = build(CompressionSpec(backend=MemorySpec(), compression_algorithm=Lz4Spec()))
    data = b"the same again " * 100_000
    await store.put(of(data), data)
    (stored,) = await store.sizes([of(data)])
    assert stored is not None
    assert stored < len(data) // 50
    assert await store.get(of(data)) == data

"""Compressed streams: any bytes are a blob or an Error INVALID_ARGUMENT, a bounded piece at a time."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.reapi import codec
from nlserver.reapi.names import Compressor
from nlserver.reapi.zstd import MOST_WINDOW_BYTES

MIB = 1 << 20
MOST_PIECE = MIB + (64 << 10)
NOISE = random.Random(7).randbytes(300_000)
TEXT = b"".join(b"line %d of a text that is easily packed\n" % n for n in range(20_000))
MIXED = NOISE + bytes(2 * MIB) + TEXT
both = pytest.mark.parametrize("compressor", codec.SERVED)


def decoded(pieces: Iterable[bytes], compressor: Compressor) -> bytes:
    source = codec.decoder(compressor)
    out: list[bytes] = []
    for piece in pieces:
        assert source.needs_input
        source.feed(piece)
        while not source.needs_input:
            out.append(source.take())
            assert len(out[-1]) <= MOST_PIECE
    source.finish()
    return b"".join(out)


def verdict(pieces: Iterable[bytes], compressor: Compressor) -> bytes | Code:
    try:
        return decoded(pieces, compressor)
    except Error as error:
        return error.code


def encoded(pieces: Iterable[bytes], compressor: Compressor) -> bytes:
    sink = codec.encoder(compressor)
    return b"".join([sink.feed(piece) for piece in pieces]) + sink.finish()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def frame(data: bytes, level: int = 1, **options: bool) -> bytes:
    return zstandard.ZstdCompressor(level=level, **options).compress(data)


def skippable(size: int, magic: int = 0x184D2A50) -> bytes:
    return magic.to_bytes(4, "little") + size.to_bytes(4, "little") + bytes(size)


def zeros(blocks: int, *, head: bytes = b"\x00\x38") -> bytes:
    """A frame of so many blocks of 128 KiB zeros, four bytes each; `head` has its flags and its window of 128 KiB."""
    block = ((128 << 10) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = bytes((block[0] | 1,)) + block[1:]
    return b"\x28\xb5\x2f\xfd" + head + block * (blocks - 1) + last


def refused(data: bytes, compressor: Compressor = Compressor.ZSTD, size: int = 1 << 40) -> str:
    with pytest.raises(Error) as caught:
        decoded(cut(data, 1 << 16), compressor)
    assert caught.value.code is Code.INVALID_ARGUMENT
    with pytest.raises(Error) as at_once:
        codec.decompress(data, compressor, size)
    assert at_once.value.code is Code.INVALID_ARGUMENT
    return str(caught.value)


@both
@settings(max_examples=40, deadline=None)
@given(pieces=st.lists(st.binary(max_size=300) | st.sampled_from([NOISE, TEXT, bytes(MIB)]), max_size=5), step=...)
def test_what_was_packed_is_unpacked_however_it_is_cut(compressor, pieces: list[bytes], step: int) -> None:
    packed = encoded(pieces, compressor)
    assert decoded(cut(packed, max(1, abs(step)) if len(packed) < 5000 else 70_001), compressor) == b"".join(pieces)


@both
def test_one_shot_and_stream_are_the_same_format(compressor) -> None:
    for data in (b"", b"a", TEXT, MIXED):
        assert codec.decompress(encoded(cut(data, 10_000), compressor), compressor, len(data)) == data
        assert decoded([codec.compress(data, compressor)], compressor) == data
        assert codec.compress(data, compressor)  # BSR-11


@both
@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400), step=st.integers(1, 40))
def test_any_bytes_are_a_blob_or_refused(compressor, data: bytes, step: int) -> None:
    found = verdict(cut(data, step), compressor)
    assert isinstance(found, bytes) or found is Code.INVALID_ARGUMENT


@both
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_stream_is_a_blob_or_refused(compressor, data: st.DataObject) -> None:
    """Bytes changed, dropped and doubled within streams that are otherwise right, so that the damage goes deep."""
    plain = data.draw(st.sampled_from([b"", b"abc" * 100, TEXT[:5000], NOISE[:2000]]))
    packed = bytearray(codec.compress(plain, compressor) * data.draw(st.integers(1, 2)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(packed) - 1)))
        how = data.draw(st.sampled_from(["change", "drop", "double", "end"]))
        if how == "end":
            del packed[at:]
        elif how == "drop":
            del packed[at : at + 3]
        elif how == "double":
            packed[at:at] = packed[at : at + 5]
        elif packed:
            packed[at] ^= data.draw(st.integers(1, 255))
    for step in (1 << 16, 3):
        found = verdict(cut(bytes(packed), step), compressor)
        assert isinstance(found, bytes) or found is Code.INVALID_ARGUMENT


@both
def test_no_stream_may_end_early(compressor) -> None:  # BSW-24, HC-20
    for plain in (b"", b"abc", TEXT[:2000]):
        packed = codec.compress(plain, compressor)
        for end in range(1, len(packed)):
            refused(packed[:end], compressor)


@both
def test_the_size_is_checked(compressor) -> None:
    packed = codec.compress(TEXT, compressor)
    for wrong in (len(TEXT) - 1, len(TEXT) + 1, 0):
        with pytest.raises(Error, match=f"{wrong} of its digest|{wrong} bytes of its digest"):
            codec.decompress(packed, compressor, wrong)


class TestZstd:
    @pytest.mark.parametrize("step", [1, 7, 4096, MIB])
    @pytest.mark.parametrize("level", [-5, 1, 3, 19])
    def test_reads_what_others_write_at_any_level_with_and_without_a_checksum(self, level, step) -> None:
        plain = MIXED if step == MIB and level < 19 else TEXT[:60_000] + NOISE[:1000]
        for options in ({"write_checksum": True}, {"write_content_size": False}):
            assert decoded(cut(frame(plain, level, **options), step), Compressor.ZSTD) == plain

    @pytest.mark.parametrize("step", [1, 5, 1000, MIB])
    def test_reads_several_frames_and_passes_over_skippable_ones(self, step) -> None:  # BSR-10
        a, b = TEXT[:3000], NOISE[:3000]
        magics = [skippable(0), skippable(70), skippable(3, 0x184D2A5F)]
        packed = magics[0] + frame(a) + magics[1] + magics[2] + frame(b, write_checksum=True) + frame(b"") + magics[0]
        assert decoded(cut(packed, step), Compressor.ZSTD) == a + b

    def test_writes_what_others_read(self) -> None:
        packed = encoded(cut(MIXED, 100_000), Compressor.ZSTD)
        assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == MIXED

    def test_a_bomb_gives_a_piece_at_a_time(self) -> None:  # HC-16
        source = codec.decoder(Compressor.ZSTD)
        source.feed(zeros(250_000))  # a megabyte that stands for 30 GiB
        for _ in range(100):
            assert 0 < len(source.take()) <= MOST_PIECE
        assert not source.needs_input
        with pytest.raises(Error, match="more than the 1000 bytes"):
            codec.decompress(zeros(250_000), Compressor.ZSTD, 1000)

    def test_a_long_blob_in_a_few_bytes_is_no_bomb(self) -> None:
        assert codec.decompress(zeros(800), Compressor.ZSTD, 100 * MIB) == bytes(100 * MIB)

    def test_a_hundred_thousand_empty_frames_are_read(self) -> None:  # HC-19
        packed = frame(b"") * 50_000 + skippable(0) * 50_000 + frame(b"abc")
        assert decoded(cut(packed, MIB), Compressor.ZSTD) == b"abc"

    def test_windows_past_the_limit_are_refused_by_the_header_alone(self) -> None:  # HC-17
        assert MOST_WINDOW_BYTES == 8 * MIB
        assert decoded([zeros(3, head=b"\x00" + bytes((13 << 3,)))], Compressor.ZSTD) == bytes(3 * (128 << 10))
        for descriptor in (13 << 3 | 1, 21 << 3, 31 << 3 | 7):
            source = codec.decoder(Compressor.ZSTD)
            source.feed(b"\x28\xb5\x2f\xfd\x00" + bytes((descriptor,)))
            with pytest.raises(Error, match="window of"):
                source.take()

    @pytest.mark.parametrize("flags", [0xC0, 0xE0])
    def test_a_content_size_of_4_exbibytes_allocates_nothing(self, flags) -> None:  # HC-18
        window = b"" if flags & 0x20 else b"\x38"
        head = bytes((flags,)) + window + (1 << 62).to_bytes(8, "little")
        refused(b"\x28\xb5\x2f\xfd" + head + (10 << 3 | 3).to_bytes(3, "little") + b"x")

    def test_dictionaries_are_refused(self) -> None:  # HC-20
        samples = [TEXT[n * 100 : n * 100 + 500] for n in range(200)]
        dictionary = zstandard.train_dictionary(5000, samples)
        assert "dictionary" in refused(zstandard.ZstdCompressor(dict_data=dictionary).compress(TEXT[:500]))

    def test_bytes_that_follow_must_be_frames(self) -> None:  # BSW-24
        for tail in (b"\0", b"junk", b"\x28\xb5\x2f", b"\x28\xb5\x2f\xfe junk", frame(b"abc")[:-1], skippable(9)[:-1]):
            refused(frame(b"abc") + tail)

    def test_wrong_checksums_sizes_and_block_kinds_are_refused(self) -> None:  # HC-20
        right = frame(TEXT[:1000], write_checksum=True)
        refused(right[:-1] + bytes((right[-1] ^ 1,)))
        for block in (b"\x07\x00\x00", b"\x01\x00\x80" + bytes(0), ((128 << 10) + 1 << 3 | 1).to_bytes(3, "little")):
            refused(b"\x28\xb5\x2f\xfd\x00\x38" + block + bytes(200_000))
        sized = bytearray(frame(TEXT[:1000]))
        sized[5] ^= 1  # the content size of the header
        refused(bytes(sized))


class TestDeflate:
    @pytest.mark.parametrize("step", [1, 1000, MIB])
    def test_reads_what_others_write(self, step) -> None:  # BSR-10
        plain = TEXT[:50_000] if step == 1 else MIXED
        for level in (0, 1, 9):
            made = zlib.compressobj(level, wbits=-15)
            packed = made.compress(plain) + made.flush(zlib.Z_FULL_FLUSH) + made.flush()
            assert decoded(cut(packed, step), Compressor.DEFLATE) == plain

    def test_writes_what_others_read(self) -> None:  # BSR-10
        assert zlib.decompress(encoded(cut(MIXED, 100_000), Compressor.DEFLATE), wbits=-15) == MIXED

    @pytest.mark.parametrize("wbits", [15, 31])
    def test_zlib_and_gzip_headers_are_refused(self, wbits) -> None:  # HC-21
        made = zlib.compressobj(6, wbits=wbits)
        refused(made.compress(TEXT) + made.flush(), Compressor.DEFLATE)

    def test_bytes_after_the_final_block_are_refused(self) -> None:  # HC-21
        packed = codec.compress(b"abc", Compressor.DEFLATE)
        assert "follow its end" in refused(packed + b"\0", Compressor.DEFLATE)
        source = codec.decoder(Compressor.DEFLATE)
        source.feed(packed)
        assert source.take() == b"abc"
        source.feed(b"x")
        with pytest.raises(Error, match="follow its end"):
            source.take()

    def test_a_bomb_gives_a_piece_at_a_time(self) -> None:  # HC-21
        made = zlib.compressobj(9, wbits=-15)
        bomb = b"".join([made.compress(bytes(MIB)) for _ in range(16)]) + made.flush()
        source = codec.decoder(Compressor.DEFLATE)
        source.feed(bomb)
        assert all(0 < len(source.take()) <= MIB for _ in range(15))
        with pytest.raises(Error, match="more than the 1000 bytes"):
            codec.decompress(bomb, Compressor.DEFLATE, 1000)

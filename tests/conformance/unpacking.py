"""Compressed forms as the API means them, made and read by the reference libraries."""

from __future__ import annotations

import zlib

import zstandard


def packed(compressor: str, data: bytes) -> bytes:
    """These bytes as one compressed stream."""
    match compressor:
        case "zstd":
            return zstandard.ZstdCompressor().compress(data)
        case "deflate":
            raw = zlib.compressobj(wbits=-15)
            return raw.compress(data) + raw.flush()
    raise AssertionError(f"the suite cannot pack {compressor}")


def unpacked(compressor: str, data: bytes) -> bytes:
    """The bytes of a compressed stream, all of which must have come."""
    match compressor:
        case "zstd":
            return _frames(data)
        case "deflate":
            raw = zlib.decompressobj(wbits=-15)
            out = raw.decompress(data) + raw.flush()
            assert raw.eof
            assert not raw.unused_data
            return out
    raise AssertionError(f"the suite cannot unpack {compressor}")


def _frames(data: bytes) -> bytes:
    out = b""
    while True:
        frame = zstandard.ZstdDecompressor().decompressobj()
        out += frame.decompress(data)
        assert frame.eof
        if not (data := frame.unused_data):
            return out

"""The compressors of blobs on the wire (REAPI v2, Compressor): bytes in, bytes out, a bounded piece at a time. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from nlserver.errors import Code, Error
from nlserver.reapi.names import Compressor
from nlserver.reapi.zstd import ZstdDecoder, ZstdEncoder
from nlserver.streams import CHUNK_BYTES

_RAW: Final = -15
_FASTEST: Final = 1
_SLICE_BYTES: Final = 64 << 10


class Encoder(Protocol):
    """Makes one compressed stream."""

    def feed(self, data: bytes | memoryview) -> bytes:
        """Take plain bytes, and give what is ready, which may be nothing."""
        ...

    def finish(self) -> bytes:
        """What is left, and the end of the stream; never empty."""
        ...


class Decoder(Protocol):
    """Reads one compressed stream as it comes. Raises Error, with the code that it was made with, for what is none."""

    needs_input: bool
    """Whether `take` has given all that the bytes so far stand for."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes, when they are needed."""
        ...

    def take(self) -> bytes:
        """The next plain bytes, about a mebibyte at most; there may be none though more of them follow."""
        ...

    def finish(self) -> None:
        """Check, at the end of the stream, that it was whole."""
        ...


class DeflateEncoder:
    """Makes a raw RFC 1951 stream: the API names no header."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(_FASTEST, wbits=_RAW)

    def feed(self, data: bytes | memoryview) -> bytes:
        """Take plain bytes, and give what is ready, which may be nothing. Compresses about 0.1-0.3 GB/s."""
        return self._stream.compress(data)

    def finish(self) -> bytes:
        """What is left, and the final block; never empty."""
        return self._stream.flush()


class DeflateDecoder:
    """Reads a raw RFC 1951 stream. Raises Error, with the code that it is given, for what is none."""

    def __init__(self, damaged: Code) -> None:
        self._code = damaged
        self._stream = zlib.decompressobj(_RAW)
        self._data = b""
        self._at = 0
        self._tail = b""
        self.needs_input = True

    def feed(self, data: bytes) -> None:
        """Take the next bytes, when they are needed."""
        self._data, self._at = data, 0
        self.needs_input = False

    def take(self) -> bytes:
        """The next plain bytes, at most a mebibyte."""
        if not self._tail:
            # The library copies what it leaves of its input.
            self._tail = self._data[self._at : self._at + _SLICE_BYTES]
            self._at += len(self._tail)
        plain = self._inflated()
        # A whole piece may not be all that the library holds.
        self.needs_input = not self._tail and self._at == len(self._data) and len(plain) < CHUNK_BYTES
        return plain

    def finish(self) -> None:
        """Check, at the end of the stream, that its final block has come."""
        if not self._stream.eof:
            raise self._damaged("it ends too early")

    def _inflated(self) -> bytes:
        if self._stream.eof:
            if self._tail:
                raise self._damaged("bytes follow its end")
            return b""
        try:
            plain = self._stream.decompress(self._tail, CHUNK_BYTES)
        except zlib.error:
            raise self._damaged("a block is wrong, or it begins with a zlib or gzip header") from None
        self._tail = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
        return plain

    def _damaged(self, how: str) -> Error:
        return Error(self._code, f"the deflate stream is damaged: {how}")


_ENCODERS: Final[Mapping[Compressor, Callable[[], Encoder]]] = {
    Compressor.ZSTD: ZstdEncoder,
    Compressor.DEFLATE: DeflateEncoder,
}
_DECODERS: Final[Mapping[Compressor, Callable[[Code], Decoder]]] = {
    Compressor.ZSTD: ZstdDecoder,
    Compressor.DEFLATE: DeflateDecoder,
}
SERVED: Final = tuple(_ENCODERS)
"""What there is besides IDENTITY, the best first."""
NUMBERS: Final = {compressor: number for number, compressor in enumerate(Compressor)}
"""The numbers of REAPI v2, Compressor."""
BY_NUMBER: Final = {number: compressor for compressor, number in NUMBERS.items()}


def encoder(compressor: Compressor) -> Encoder:
    """A fresh encoder of one of those `SERVED`."""
    return _ENCODERS[compressor]()


def decoder(compressor: Compressor, damaged: Code = Code.INVALID_ARGUMENT) -> Decoder:
    """A fresh decoder of one of those `SERVED`, which reports damage with this code."""
    return _DECODERS[compressor](damaged)


def compress(data: bytes, compressor: Compressor) -> bytes:
    """A small blob as one stream."""
    made = encoder(compressor)
    return made.feed(data) + made.finish()


def decompress(data: bytes, compressor: Compressor, size: int, damaged: Code = Code.INVALID_ARGUMENT) -> bytes:
    """The blob of `size` bytes that a stream stands for.

    Raises Error with the code of `damaged` for what is no whole stream, and for another size, as soon as there are
    more bytes.
    """
    source = decoder(compressor, damaged)
    source.feed(data)
    parts: list[bytes] = []
    total = 0
    while total <= size and not source.needs_input:
        parts.append(source.take())
        total += len(parts[-1])
    if total > size:
        raise Error(damaged, f"the {compressor} stream stands for more than the {size} bytes of its digest")
    source.finish()
    if total < size:
        raise Error(damaged, f"the {compressor} stream stands for {total} bytes, not the {size} of its digest")
    return parts[0] if len(parts) == 1 else b"".join(parts)

"""How a blob is put together: the digests and sizes of its pieces in order, as bytes of 36 for each. Pure.

A blob of 100 GiB has a recipe of 15 MB in the usual sizes, so pieces become objects only when they are asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple, Self

from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest, Function

_VERSION: Final = 1
_HEADER: Final = struct.Struct("<BQ")
_ENTRY: Final = struct.Struct("<32sI")
MOST_BYTES: Final = 16 << 20
"""The most bytes of a recipe."""


class Slice(NamedTuple):
    """Bytes [start, stop) of a piece."""

    digest: Digest
    start: int
    stop: int


class Recipe:
    """The pieces of one value; `size` is what they have together."""

    def __init__(self, entries: bytes = b"") -> None:
        self._entries = bytearray(entries)
        self.size = sum(size for _, size in _ENTRY.iter_unpack(self._entries))

    @classmethod
    def parsed(cls, data: bytes) -> Self | None:
        """The recipe in these bytes; None when they are not those of one."""
        if len(data) < _HEADER.size or (len(data) - _HEADER.size) % _ENTRY.size:
            return None
        recipe = cls(data[_HEADER.size :])
        return recipe if _HEADER.unpack_from(data) == (_VERSION, recipe.size) else None

    def add(self, piece: Digest) -> None:
        """One more piece at the end. Raises Error RESOURCE_EXHAUSTED past `MOST_BYTES`."""
        if len(self._entries) + _ENTRY.size > MOST_BYTES - _HEADER.size:
            raise Error(
                Code.RESOURCE_EXHAUSTED,
                f"a value has more pieces than the {MOST_BYTES // _ENTRY.size} that its index can name",
                remedy="choose larger chunks: raise normal_size",
            )
        self._entries += _ENTRY.pack(bytes.fromhex(piece.hash), piece.size_bytes)
        self.size += piece.size_bytes

    def __iter__(self) -> Iterator[Digest]:
        return (Digest(name.hex(), size, Function.BLAKE3) for name, size in _ENTRY.iter_unpack(self._entries))

    def batches(self, count: int) -> Iterator[list[Digest]]:
        """The pieces, `count` at a time."""
        pieces = iter(self)
        while batch := list(islice(pieces, count)):
            yield batch

    def slices(self, offset: int, limit: int | None) -> Iterator[Slice]:
        """What of which pieces makes the bytes from `offset` on, at most `limit`."""
        end = self.size if limit is None else min(self.size, offset + limit)
        begin = 0
        for piece in self:
            if begin >= end:
                return
            start, stop = max(0, offset - begin), min(piece.size_bytes, end - begin)
            if start < stop:
                yield Slice(piece, start, stop)
            begin += piece.size_bytes

    def __bytes__(self) -> bytes:
        return _HEADER.pack(_VERSION, self.size) + self._entries

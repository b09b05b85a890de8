"""FastCDC 2020 as the API fixes it, in plain Python and from its description, to check the cuts of a server by."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Final

_BITS: Final = (1 << 64) - 1
_MASKS: Final = (
    "1800035300 19000353000 590003530000 d90003530000 d90103530000 d90303530000 d90313530000 d90f03530000 "
    "d90303537000 d90703537000 d90707537000 d91707537000 d91747537000 d91767537000 d93767537000"
)
_FIRST_MASK: Final = 8


def gear(seed: int) -> list[int]:
    """A number for each byte: the upper half of the MD5 of 64 such bytes, crossed with the seed."""
    return [int.from_bytes(hashlib.md5(bytes([byte]) * 64).digest()[:8], "big") ^ seed for byte in range(256)]


def lengths(data: bytes, average: int, seed: int = 0) -> Iterator[int]:
    """The lengths of the chunks of these bytes."""
    table = gear(seed)
    masks = dict(enumerate((int(mask, 16) for mask in _MASKS.split()), _FIRST_MASK))
    bits = round(math.log2(average))
    strict, loose = masks[bits + 2], masks[bits - 2]
    start = 0
    while start < len(data):
        piece = data[start : start + average * 4]
        length = _length(piece, average, table, strict, loose)
        yield length
        start += length


def _length(data: bytes, average: int, table: list[int], strict: int, loose: int) -> int:
    least, total = average // 4, len(data)
    if total <= least:
        return total
    hashed = 0
    for pair in range(least // 2, total // 2):
        # The first of two bytes is hashed one bit further left, and so is the mask that it is held against.
        mask = strict if pair < min(average, total) // 2 else loose
        hashed = ((hashed << 2) + (table[data[2 * pair]] << 1)) & _BITS
        if not hashed & (mask << 1) & _BITS:
            return 2 * pair
        hashed = (hashed + table[data[2 * pair + 1]]) & _BITS
        if not hashed & mask:
            return 2 * pair + 1
    return total

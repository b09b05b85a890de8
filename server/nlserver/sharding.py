"""Which of several stores has a key: always the same one, by weight, as NativeLink chooses it. Pure.

The choice is for ever: values that were stored under another one are not found again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from nlserver.reapi.digest import Digest
from nlserver.spec import U32, U64

_INITIAL: Final = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


class Shards:
    """Numbers from 0 for keys, in proportion to the weights, of which at least one is more than 0."""

    def __init__(self, weights: Sequence[int]) -> None:
        total = sum(weights)
        self._last = [*accumulate(U32 * weight // total for weight in weights)]
        self._last[-1] = U32

    def of(self, key: Digest | str) -> int:
        """The number of the shard that has this key: the first one whose range does not end before its place."""
        return bisect_left(self._last, place(key))


def place(key: Digest | str) -> int:
    """A number below 2^32 (NativeLink behaviour)."""
    if isinstance(key, str):
        return siphash(key.encode("utf-8", "surrogatepass")) >> 32
    folded = int(key.hash, 16)
    for bits in (128, 64, 32):
        folded ^= folded >> bits
    # The words of the hash are read as little-endian ones.
    words = int.from_bytes((folded & U32).to_bytes(4, "big"), "little")
    return words ^ ((key.size_bytes ^ key.size_bytes >> 32) & U32)


def siphash(data: bytes) -> int:
    """SipHash-1-3 under the key 0, the hash of Rust's DefaultHasher."""
    state = _INITIAL
    whole = len(data) // 8 * 8
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56)
    for word in words:
        a, b, c, d = state
        a, b, c, d = _round(a, b, c, d ^ word)
        state = a ^ word, b, c, d
    a, b, c, d = state
    c ^= 0xFF
    for _ in range(3):
        a, b, c, d = _round(a, b, c, d)
    return a ^ b ^ c ^ d


def _round(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    a = (a + b) & U64
    b = _rotated(b, 13) ^ a
    a = _rotated(a, 32)
    c = (c + d) & U64
    d = _rotated(d, 16) ^ c
    a = (a + d) & U64
    d = _rotated(d, 21) ^ a
    c = (c + b) & U64
    b = _rotated(b, 17) ^ c
    return a, b, _rotated(c, 32), d


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 64 - bits) & U64

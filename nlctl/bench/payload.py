"""Blobs to send: as hard to compress as asked, and new ones for the price of hashing 16 bytes. Pure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from nlserver.reapi.digest import Digest, of
from nlserver.reapi.wire import Piece

_BLOCK: Final = 4096
_MARK: Final = 16


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes and their name. All blobs of one Payload share `body` and differ in their last bytes, the `mark`."""

    digest: Digest
    body: Piece
    mark: bytes

    @property
    def data(self) -> bytes:
        """The whole blob."""
        return b"".join((self.body, self.mark))


def blob_of(data: bytes) -> Blob:
    """These bytes as a blob."""
    return Blob(of(data), data, b"")


class Payload:
    """Blobs of one size, all different: they share all but their last 16 bytes, whose hash is what a new one costs.

    Blobs of fewer than 16 bytes share nothing, and there are only so many of them.
    """

    def __init__(self, size: int, body: Piece, chance: random.Random) -> None:
        self.size = size
        self.mark_bytes = min(size, _MARK)
        self.body = body[: size - self.mark_bytes]
        self._chance = chance
        self._hash = hashlib.sha256(self.body)

    @classmethod
    def several(cls, sizes: Sequence[int], seed: int, compressible: float = 0.0) -> list[Self]:
        """One for each size; they share one body, of which the share `compressible` is zeros and the rest noise."""
        chance = random.Random(seed)  # noqa: S311
        body = memoryview(_filled(max(sizes), chance, compressible))
        return [cls(size, body, chance) for size in sizes]

    def fresh(self) -> Blob:
        """A blob that was not there before."""
        mark = self._chance.randbytes(self.mark_bytes)
        whole = self._hash.copy()
        whole.update(mark)
        return Blob(Digest(whole.hexdigest(), self.size), self.body, mark)


def _filled(size: int, chance: random.Random, compressible: float) -> bytes:
    if not compressible:
        return chance.randbytes(size)
    noise = round(_BLOCK * (1 - compressible))
    zeros = bytes(_BLOCK - noise)
    blocks = -(-size // _BLOCK)
    return b"".join(chance.randbytes(noise) + zeros for _ in range(blocks))[:size]

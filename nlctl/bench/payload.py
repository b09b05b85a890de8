"""Blobs to send: as hard to compress as asked, and new ones for the price of hashing 16 bytes. Pure."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Final

from nlserver.reapi.digest import Digest, of

_BLOCK: Final = 4096
_MARK: Final = 16


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes and their name. All blobs of one Payload share `body` and differ in their last bytes, the `mark`."""

    digest: Digest
    body: bytes
    mark: bytes

    @property
    def data(self) -> bytes:
        """The whole blob."""
        return self.body + self.mark


def blob_of(data: bytes) -> Blob:
    """These bytes as a blob."""
    return Blob(of(data), data, b"")


class Payload:
    """Blobs of one size, all different: they share all but their last 16 bytes, whose hash is what a new one costs.

    Of each 4 KiB the share `compressible` is zeros, the rest is noise. Blobs of fewer than 16 bytes are all noise, and
    there are only so many of them.
    """

    def __init__(self, size: int, seed: int, compressible: float = 0.0) -> None:
        self.size = size
        self._chance = random.Random(seed)  # noqa: S311
        self._mark = min(size, _MARK)
        self.body = _filled(size - self._mark, self._chance, compressible)
        self._hash = hashlib.sha256(self.body)

    def fresh(self) -> Blob:
        """A blob that was not there before."""
        mark = self._chance.randbytes(self._mark)
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

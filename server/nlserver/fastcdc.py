"""Content-defined cuts: equal stretches of two blobs become equal pieces, wherever they stand. Pure.

The algorithm is FastCDC of 2020 with normalisation level 2, as REAPI v2 fixes it for SplitBlob and SpliceBlob
(ChunkingFunction.FAST_CDC_2020), so our pieces are those of every client that follows it. A native package does it:
a loop in Python cuts 8 MiB a second, this one more than 1 GiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pyfastcdc import FastCDC

_LEVEL: Final = 2
_LEAST: Final = range(64, (1 << 20) + 1)
_NORMAL: Final = range(256, (4 << 20) + 1)
_MOST: Final = range(1024, (16 << 20) + 1)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large pieces are, in bytes: all are `least` or more and `most` or less, except that the last may be less.

    An odd `least` allows one byte less. `seed` makes other cuts of the same sizes.
    """

    least: int
    normal: int
    most: int
    seed: int = 0

    @classmethod
    def around(cls, average: int, seed: int = 0) -> Self:
        """The sizes that REAPI v2 derives from FastCdc2020Params.avg_chunk_size_bytes."""
        return cls(average // 4, average, average * 4, seed)

    def problem(self) -> str | None:
        """Why nothing can be cut with these sizes, as a sentence; None when it can."""
        for name, size, sizes in (
            ("smallest", self.least, _LEAST),
            ("normal", self.normal, _NORMAL),
            ("largest", self.most, _MOST),
        ):
            if size not in sizes:
                return f"the {name} chunk must have {sizes.start} to {sizes.stop - 1} bytes, not {size}"
        if not self.least <= self.normal <= self.most:
            return f"chunk sizes must not fall from {self.least} to {self.normal} to {self.most} bytes"
        return None


class Cutter:
    """Cuts one stream. It is fed bytes and asked for pieces, and holds at most `most` bytes beside what it was fed.

    Feeding is free; `take` and `finish` work, and may do so in a thread, one call at a time.
    """

    def __init__(self, sizes: Sizes) -> None:
        self._most = sizes.most
        self._algorithm = _algorithm(sizes)
        self._fed: list[bytes] = []
        self.held = 0
        """Bytes that were fed and not taken."""

    @property
    def due(self) -> bool:
        """Whether enough is held for a piece to be certain."""
        return self.held >= self._most

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        self._fed.append(data)
        self.held += len(data)

    def take(self) -> list[bytes]:
        """The pieces whose ends no further bytes can move; at least one when `due`."""
        pieces = self._cut()
        if pieces and len(pieces[-1]) < self._most:
            # It ends where the bytes do, so more of them may come.
            self.feed(pieces.pop())
        return pieces

    def finish(self) -> list[bytes]:
        """The pieces of what is left, now that the stream has ended."""
        return self._cut()

    def _cut(self) -> list[bytes]:
        held = b"".join(self._fed)
        self._fed.clear()
        self.held = 0
        return [bytes(chunk.data) for chunk in self._algorithm.cut_buf(held)]


def _algorithm(sizes: Sizes) -> FastCDC:
    from pyfastcdc import FastCDC

    return FastCDC(sizes.normal, min_size=sizes.least, max_size=sizes.most, normalized_chunking=_LEVEL, seed=sizes.seed)

"""Times of calls, counted in buckets less than 1 % wide, so that many processes' counts add up. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final

_BITS: Final = 7
_STEPS: Final = 1 << _BITS


class Histogram:
    """Whole numbers >= 0, such as nanoseconds."""

    def __init__(self, values: Iterable[int] = ()) -> None:
        self._counts = Counter(map(_bucket, values))

    def add(self, value: int) -> None:
        """Count one more."""
        self._counts[_bucket(value)] += 1

    def __add__(self, other: Histogram) -> Histogram:
        made = Histogram()
        made._counts = self._counts + other._counts
        return made

    def __len__(self) -> int:
        return self._counts.total()

    def quantile(self, share: float) -> float | None:
        """The value that this share of all does not exceed; None where too few were seen to tell.

        A share of 0.99 needs 100 values: with fewer it would be the largest one under another name.
        """
        if len(self) * (1 - share) < 1 - 1e-9:
            return None
        wanted = math.ceil(share * len(self))
        for bucket in sorted(self._counts):
            wanted -= self._counts[bucket]
            if wanted <= 0:
                return _middle(bucket)
        raise AssertionError

    def largest(self) -> float | None:
        """The largest value, None without any."""
        return _middle(max(self._counts)) if self._counts else None


def _bucket(value: int) -> int:
    """A number that grows with the value: its leading bits, and how many others were dropped."""
    dropped = max(value.bit_length() - _BITS, 0)
    return dropped * _STEPS + (value >> dropped)


def _middle(bucket: int) -> float:
    dropped, leading = divmod(bucket, _STEPS)
    return ((leading << dropped) + ((leading + 1) << dropped) - 1) / 2

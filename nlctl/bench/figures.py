"""What repeated rounds say: a median, a spread, and whether two sets of rounds differ. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_T95: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""Student's t for a two-sided interval of 95 %, by degrees of freedom from 1 on; the last serves all others."""
_LARGEST_LOGARITHM: Final = 700.0


@dataclass(frozen=True)
class Change:
    """How far the new rounds are from the old: -0.15 is 15 % less; `low` and `high` bound it with 95 % confidence."""

    by: float
    low: float
    high: float

    def worse(self, *, more_is_better: bool) -> Change:
        """The same as a loss: 0.15 is 15 % worse, whichever direction is the good one."""
        return Change(-self.by, -self.high, -self.low) if more_is_better else self

    def exceeds(self, limit: float) -> bool:
        """Whether a loss is past the limit and not chance: its whole interval is a loss."""
        return self.by > limit and self.low > 0


def change(now: Sequence[float], was: Sequence[float]) -> Change:
    """Compare rounds by the ratio of their geometric means (Welch's interval of the logarithms).

    With one round on a side there is no telling what chance does: the interval is then infinite.
    """
    new, old = [math.log(value) for value in now], [math.log(value) for value in was]
    middle = statistics.fmean(new) - statistics.fmean(old)
    reach = _reach(new, old)
    return Change(math.expm1(middle), _growth(middle - reach), _growth(middle + reach))


def _growth(logarithm: float) -> float:
    return math.expm1(logarithm) if logarithm < _LARGEST_LOGARITHM else math.inf


def _reach(new: Sequence[float], old: Sequence[float]) -> float:
    if min(len(new), len(old)) < 2:
        return math.inf
    parts = [(statistics.variance(side) / len(side), len(side) - 1) for side in (new, old)]
    variance = sum(part for part, _ in parts)
    if not variance:
        return 0.0
    freedom = variance**2 / sum(part**2 / free for part, free in parts)
    return _T95[min(max(int(freedom), 1), len(_T95)) - 1] * math.sqrt(variance)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round: rounds of one number were run next to each other, so what disturbed one disturbed both."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]

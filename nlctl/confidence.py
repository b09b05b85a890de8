"""What a sample says of all: how many bad ones there may be. Pure."""

from __future__ import annotations

from math import exp, lgamma, log, log1p
from typing import Final

SURE: Final = 0.95
"""How sure the statements are."""
_STEPS: Final = 60


def at_most(bad: int, checked: int, of: int | None = None) -> float:
    """The share of bad ones that, with 95% certainty, all have at most, when a random sample has `bad` of `checked`.

    The exact binomial limit (Clopper and Pearson, one-sided), which is on the safe side for samples without
    repetition; a sample of everything knows.
    """
    if not checked or bad >= checked:
        return 1.0
    if of is not None and checked >= of:
        return bad / checked
    low, high = bad / checked, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _tail(bad, checked, middle) > 1 - SURE:
            low = middle
        else:
            high = middle
    return high


def _tail(bad: int, checked: int, share: float) -> float:
    """How probable at most `bad` of `checked` are where each is bad with this probability."""
    if share in (0.0, 1.0):
        return 1.0 - share
    total = 0.0
    for count in range(bad + 1):
        ways = lgamma(checked + 1) - lgamma(count + 1) - lgamma(checked - count + 1)
        total += exp(ways + count * log(share) + (checked - count) * log1p(-share))
    return total

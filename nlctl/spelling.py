"""What a mistyped word may have meant. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

_NEAR: Final = 2
_MOST: Final = 3


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known words at most two slips away, the nearest first; else the one that looks most alike, if any."""
    names = sorted(known)
    measured = sorted((distance, name) for name in names if (distance := slips(word, name)) <= _NEAR)
    if measured:
        return [name for distance, name in measured if distance == measured[0][0] or distance < len(name) // 2][:_MOST]
    return difflib.get_close_matches(word, names, n=1, cutoff=0.5)


def misspelt(word: str, known: Iterable[str]) -> list[str]:
    """Those of the known words that are at most two slips away: only what was hardly meant otherwise."""
    return [one for one in nearest(word, known) if slips(word, one) <= _NEAR]


def slips(one: str, other: str) -> int:
    """How many letters must be added, left out, replaced or swapped with the next (optimal string alignment)."""
    if abs(len(one) - len(other)) > _NEAR:
        return _NEAR + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, known in enumerate(other, 1):
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != known))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == known:
                least = min(least, earlier[j - 2] + 1)
            row.append(least)
    return row[-1]

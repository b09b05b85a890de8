"""The sizes of the blobs of real builds, and what a client does with them. Pure.

The sizes are those that BuildBuddy counted at its service and put into its `tools/cacheload`: of about 100,000 blobs so
many fall between each power of ten and the next.
"""

from __future__ import annotations

import math
import random
from enum import StrEnum
from typing import Final

COUNTS: Final = (23, 33_611, 33_498, 20_473, 10_036, 3_265, 504, 62)
"""Blobs of 1 to 10 bytes, 10 to 100, ... 10 to 100 MB."""


class Step(StrEnum):
    """One call of a mix."""

    READ = "read"
    WRITE = "write"
    FIND = "find"
    RESULT = "result"


SHARES: Final = {Step.READ: 60, Step.WRITE: 15, Step.FIND: 10, Step.RESULT: 15}
"""Of 100 calls: mostly a warm build, that fetches results and their outputs, with some new work in it."""
FIND_DIGESTS: Final = 100


def size_at(share: float) -> int:
    """The size that this share of all blobs, 0 <= share < 1, does not exceed; evenly spread on a logarithmic scale."""
    place = share * sum(COUNTS)
    for power, count in enumerate(COUNTS):
        if place < count:
            return int(10 ** (power + place / count))
        place -= count
    raise ValueError(f"{share} is no share")


def sizes(count: int) -> list[int]:
    """So many sizes, evenly drawn, so that two runs have the same: the largest stands for its whole share."""
    return [size_at((number + 0.5) / count) for number in range(count)]


def steps(count: int, seed: int) -> list[Step]:
    """So many calls in random order, each kind with its exact share."""
    total = sum(SHARES.values())
    made = [step for step, share in SHARES.items() for _ in range(math.ceil(share * count / total))]
    random.Random(seed).shuffle(made)  # noqa: S311
    return made[:count]

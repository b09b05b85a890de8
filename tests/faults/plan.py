"""Which fault comes when: a fair shuffle out of one seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """A fault's name, the seed of its details, and how many jobs the clients do before it strikes."""

    fault: str
    seed: int
    jobs_before: int


def turns(names: Sequence[str], seed: int) -> Iterator[Turn]:
    """Every name once in each round, each round in another order, for ever."""
    rng = random.Random(seed)
    while True:
        for name in rng.sample(list(names), len(names)):
            yield Turn(name, rng.getrandbits(48), rng.randrange(12))

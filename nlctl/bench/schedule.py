"""When calls are due that do not wait for each other: the open loop. Pure.

Whoever calls again only after an answer asks less of a server the slower it gets, and so misses the worst times
("coordinated omission"). Here the instants are fixed before the first call, and a call's time counts from its instant.
"""

from __future__ import annotations

import random
from collections.abc import Iterator


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Seconds after the start at which calls are due: independent of each other, `rate` a second on average.

    Several such processes together are one of the sum of their rates, so load processes need not know of each other.
    """
    chance = random.Random(seed)  # noqa: S311
    due = chance.expovariate(rate)
    while due < seconds:
        yield due
        due += chance.expovariate(rate)

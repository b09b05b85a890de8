"""Time limits that grow where many want the processors: what is asked gets them no sooner than who asks."""

from __future__ import annotations

import asyncio
import math
import os
from typing import Final

_MOST: Final = 6.0


def crowding() -> float:
    """How many times longer answers may take than on a machine of one's own, at least 1.

    The root of how many want each processor: limits are several times what an answer takes, and a dead server beside
    a build shall still be given up soon.
    """
    try:
        return min(math.sqrt(max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))), _MOST)
    except OSError:
        return 1.0


def within(seconds: float, most: float = _MOST) -> asyncio.Timeout:
    """Raise TimeoutError in the block when it takes longer than this; on a crowded machine, than so many times this.

    An answer that is late there is not lost, and a failure that nobody but the doctor sees helps nobody. `most` is for
    waits that are as long as that where a server is dead.
    """
    return asyncio.timeout(seconds * min(crowding(), most))

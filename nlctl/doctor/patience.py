"""Time limits that grow where many want the processors: what is asked gets them no sooner than who asks."""

from __future__ import annotations

import asyncio
import os
from typing import Final

_MOST: Final = 12.0


def crowding() -> float:
    """How many want each processor of this machine, at least 1: its load over the last minute by its processors."""
    try:
        return min(max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), _MOST)
    except OSError:
        return 1.0


def within(seconds: float) -> asyncio.Timeout:
    """Raise TimeoutError in the block when it takes longer than this; on a crowded machine, than so many times this.

    An answer that is late there is not lost, and a failure that nobody but the doctor sees helps nobody.
    """
    return asyncio.timeout(seconds * crowding())

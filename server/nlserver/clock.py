"""Time, so that those who decide are told it and tests own it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the shells read the time; pure rooms take `now` as an argument instead."""

    def wall(self) -> float:
        """Seconds since 1970, for timestamps that people and other machines read."""
        ...

    def monotonic(self) -> float:
        """Seconds since some start, for limits and ages: it never jumps."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

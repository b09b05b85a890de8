"""How many actions were given to workers of late, slot by slot, of what a scheduler remembers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

EVENT: Final = "Action given to a worker"
"""What a scheduler's log says of each."""
_SPAN_SECONDS: Final = 300.0
_SLOTS: Final = 20


@dataclass(frozen=True)
class Pace:
    """Actions in slots of equal length, the latest last, over so many seconds."""

    seconds: float
    slots: tuple[int, ...]


def pace(given: Iterable[float], now: float, since: float) -> Pace:
    """Of the moments at which actions were given, those of the last five minutes; nothing is known before `since`."""
    seconds = min(_SPAN_SECONDS, max(1.0, now - since))
    slots = [0] * _SLOTS
    for moment in given:
        if 0 <= now - moment < seconds:
            slots[_SLOTS - 1 - int((now - moment) / seconds * _SLOTS)] += 1
    return Pace(seconds, tuple(slots))

"""What this process counts. Numbers only grow; whoever shows them adds up the processes of a server (`board`)."""

from __future__ import annotations

from collections.abc import MutableSequence
from enum import IntEnum


class Count(IntEnum):
    """A thing that is counted."""

    CALLS = 0
    """Calls that were answered, in whatever way."""
    FAILED_CALLS = 1
    """Calls among them that ended with an error status; a miss is one."""
    RECEIVED_BYTES = 2
    """Bytes of the messages that came in, without what the connection adds."""
    SENT_BYTES = 3
    """Bytes of the messages that went out."""


_counts: MutableSequence[int] | memoryview[int] = [0] * len(Count)


def count(which: Count, amount: int = 1) -> None:
    """Add to a count. Called on the event loop only: nothing guards it."""
    _counts[which] += amount


def counted(which: Count) -> int:
    """What this process has counted so far."""
    return _counts[which]


def keep_in(place: MutableSequence[int] | memoryview[int]) -> None:
    """Count in this place from now on, on top of what stands there: one number for each Count."""
    global _counts
    _counts = place

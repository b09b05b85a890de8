"""What this process counts. Numbers only grow; whoever shows them adds up the processes of a server (`board`)."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence
from enum import IntEnum
from typing import Final

from nlserver.errors import Code, Error


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
    ASKED_BLOBS = 4
    """Blobs that clients asked for by FindMissingBlobs, those of no bytes left out."""
    MISSING_BLOBS = 5
    """Blobs among them that were missing."""
    FOUND_RESULTS = 6
    """Results of actions that GetActionResult found."""
    MISSED_RESULTS = 7
    """Results of actions that GetActionResult did not find."""
    FINISHED_ACTIONS = 8
    """Actions that a worker gave a result of, whatever their exit code."""
    FAILED_ACTIONS = 9
    """Actions that a worker could not run; those that are tried again count each time."""


class CacheCount(IntEnum):
    """A thing that is counted for each `cache_type` of the `cache_metrics` stores."""

    HITS = 0
    """Values that were asked for and there."""
    MISSES = 1
    """Values that were asked for and absent."""
    READ_BYTES = 2
    """Bytes that were read."""
    WRITES = 3
    """Values that were written."""
    WRITTEN_BYTES = 4
    """Bytes that were written."""
    REMOVALS = 5
    """Values that were removed on demand."""


MOST_CACHES: Final = 16
"""How many types of caches a process can count."""
WIDTH: Final = len(Count) + MOST_CACHES * len(CacheCount)
"""How many numbers a process counts."""
_counts: MutableSequence[int] | memoryview[int] = [0] * WIDTH
_caches: dict[str, int] = {}


def count(which: int, amount: int = 1) -> None:
    """Add to a Count, or to the place of a CacheCount. Called on the event loop only: nothing guards it."""
    _counts[which] += amount


def counted(which: int) -> int:
    """What this process has counted so far."""
    return _counts[which]


def cache(kind: str) -> int:
    """Where the numbers of this type of cache begin: CacheCount HITS stands there. All its stores count in one place.

    Processes that build the same config find the same places. Raises Error FAILED_PRECONDITION past MOST_CACHES types.
    """
    if kind not in _caches and len(_caches) == MOST_CACHES:
        raise Error(Code.FAILED_PRECONDITION, f"more than {MOST_CACHES} different values of cache_type")
    return _caches.setdefault(kind, len(Count) + len(_caches) * len(CacheCount))


def caches() -> Mapping[str, int]:
    """The types of caches that are counted, and where the numbers of each begin."""
    return _caches


def keep_in(place: MutableSequence[int] | memoryview[int]) -> None:
    """Count in this place from now on, on top of what stands there: WIDTH numbers."""
    global _counts
    _counts = place

"""What the processes of one server know of each other: a page of memory that they share.

Each process writes its own row only, and the parent the row of a process that died, so nobody waits for a lock; a
number has 8 bytes and is read as a whole. Times are milliseconds of the machine's monotonic clock.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from nlserver import metrics

BEAT_SECONDS: Final = 1.0
"""How often a process says that it is alive."""
SILENT_SECONDS: Final = 10.0
"""After so long without a word a process is taken for stuck."""


class Phase(IntEnum):
    """Where a process of the server stands."""

    ABSENT = 0
    STARTING = 1
    SERVING = 2
    DRAINING = 3


class _Field(IntEnum):
    PID = 0
    PHASE = 1
    SINCE = 2
    BEAT = 3
    STARTS = 4


_WIDTH: Final = len(_Field) + metrics.WIDTH


@dataclass(frozen=True)
class Standing:
    """One process as its row shows it; `stuck` when it serves and has not been heard of for long."""

    index: int
    pid: int
    phase: Phase
    since_seconds: float
    restarts: int
    stuck: bool


class Row:
    """The numbers of one process."""

    def __init__(self, index: int, words: memoryview[int]) -> None:
        self._index = index
        self._words = words

    @property
    def counts(self) -> memoryview[int]:
        """Where this process counts; a process that follows a dead one goes on from its numbers."""
        return self._words[len(_Field) :]

    def begin(self, pid: int, now: float) -> None:
        """A process starts here."""
        self._words[_Field.PID] = pid
        self._words[_Field.STARTS] += 1
        self.enter(Phase.STARTING, now)

    def enter(self, phase: Phase, now: float) -> None:
        """Another phase begins."""
        self._words[_Field.PHASE] = phase
        self._words[_Field.SINCE] = int(now * 1000)
        self.beat(now)

    def beat(self, now: float) -> None:
        """The process is alive."""
        self._words[_Field.BEAT] = int(now * 1000)

    def standing(self, now: float) -> Standing:
        """How the process stands."""
        phase = Phase(self._words[_Field.PHASE])
        return Standing(
            self._index,
            self._words[_Field.PID],
            phase,
            now - self._words[_Field.SINCE] / 1000,
            max(0, self._words[_Field.STARTS] - 1),
            phase is Phase.SERVING and now - self._words[_Field.BEAT] / 1000 > SILENT_SECONDS,
        )


class Board:
    """The rows of `processes` processes, kept in memory that children of a fork share."""

    def __init__(self, processes: int = 1) -> None:
        words = memoryview(mmap.mmap(-1, processes * _WIDTH * 8)).cast("Q")
        self.rows = [Row(index, words[index * _WIDTH : (index + 1) * _WIDTH]) for index in range(processes)]

    @property
    def shared(self) -> bool:
        """Whether several processes make this server."""
        return len(self.rows) > 1

    def standings(self, now: float) -> list[Standing]:
        """How each process stands."""
        return [row.standing(now) for row in self.rows]

    def total(self, which: int) -> int:
        """What all processes together counted: of a Count, or in the place of a CacheCount."""
        return sum(row.counts[which] for row in self.rows)


def ailment(standings: list[Standing]) -> str:
    """What keeps these processes from serving together, as a phrase; empty when nothing does.

    A process that is being started again keeps nobody waiting: the kernel gives its connections to the others. One
    that is stuck still takes connections, so that the server is unwell.
    """
    if stuck := [str(one.pid) for one in standings if one.stuck]:
        return f"no sign of life for {SILENT_SECONDS:g} s from process {', '.join(stuck)}"
    if not any(one.phase is Phase.SERVING for one in standings):
        return "no process serves"
    return ""

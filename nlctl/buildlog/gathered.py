"""What is kept of a log: counts, times and the first thing that went wrong. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from nlctl.bench.histogram import Histogram
from nlctl.buildlog.causes import Cause, of_text

_SLOWEST: Final = 5
_MOST_LINES: Final = 30
_LONGEST_LINE: Final = 2000
_MOST_METHODS: Final = 200
_MOST_PHASES: Final = 100
ERROR: Final = "error"
WARNING: Final = "warning"
_FOUND: Final = ("NOT_FOUND", "OK")
CACHED: Final = "remote cache hit"
"""How Bazel calls actions that were answered by the remote cache; "disk cache hit" is another."""
_NO_WORK: Final = ("internal", CACHED, "disk cache hit")


@dataclass
class Trouble:
    """The first thing that went wrong: its own words, and where they stand (a line, or an entry, counted from 1)."""

    level: str
    at: int
    lines: list[str]
    cause: Cause

    def add(self, line: str) -> bool:
        """Take a line that belongs to it; False once there are enough."""
        if len(self.lines) >= _MOST_LINES:
            return False
        self.lines.append(line[:_LONGEST_LINE])
        return True

    @property
    def text(self) -> str:
        """All its words."""
        return "\n".join(self.lines)


class Slow(NamedTuple):
    """One call that took long."""

    milliseconds: float
    method: str
    status: str
    about: str


@dataclass
class Calls:
    """All calls of one method."""

    times: Histogram = field(default_factory=Histogram)
    statuses: Counter[str] = field(default_factory=Counter)
    total_ms: float = 0.0
    size_bytes: int = 0

    @property
    def failed(self) -> int:
        """How many ended neither well nor with an absence."""
        return sum(count for status, count in self.statuses.items() if status not in _FOUND)


@dataclass
class Phase:
    """A part of the work: how often it was done, and how long that took in all, done side by side or not."""

    count: int = 0
    total_ms: float = 0.0
    longest_ms: float = 0.0

    def add(self, milliseconds: float) -> None:
        """Count one more."""
        self.count += 1
        self.total_ms += milliseconds
        self.longest_ms = max(self.longest_ms, milliseconds)


@dataclass
class Gathered:
    """Everything that is kept. `runners` counts actions by what ran them; `signs` counts lines by their cause.

    `hits` and `misses` are None where the log does not tell whether results came from the cache.
    """

    entries: int = 0
    cut_off: bool = False
    trouble: Trouble | None = None
    signs: Counter[Cause] = field(default_factory=Counter)
    calls: dict[str, Calls] = field(default_factory=dict)
    runners: Counter[str] = field(default_factory=Counter)
    hits: int | None = None
    misses: int | None = None
    phases: dict[str, Phase] = field(default_factory=dict)
    elapsed_ms: float | None = None
    critical_path_ms: float | None = None
    uploaded_again: int = 0
    _slowest: list[Slow] = field(default_factory=list)

    @property
    def slowest(self) -> list[Slow]:
        """The slowest calls, the slowest first."""
        return sorted(self._slowest, reverse=True)

    @property
    def hit_rate(self) -> float | None:
        """The share of lookups, or of actions, that the cache answered."""
        looked = (self.hits or 0) + (self.misses or 0)
        return (self.hits or 0) / looked if looked else None

    def went_wrong(self, level: str, at: int, text: str) -> Trouble | None:
        """Note that something went wrong; answers it when it is the first, so that more lines can be added.

        An error comes before any warning.
        """
        cause = of_text(text)
        self.signs[cause] += 1
        if self.trouble is not None and not (level == ERROR and self.trouble.level == WARNING):
            return None
        self.trouble = Trouble(level, at, [line[:_LONGEST_LINE] for line in text.split("\n")[:_MOST_LINES]], cause)
        return self.trouble

    def called(self, method: str, milliseconds: float, status: str, about: str, size_bytes: int = 0) -> None:
        """Count a call."""
        if method not in self.calls and len(self.calls) >= _MOST_METHODS:
            return
        calls = self.calls.setdefault(method, Calls())
        calls.times.add(max(0, round(milliseconds * 1000)))
        calls.statuses[status] += 1
        calls.total_ms += milliseconds
        calls.size_bytes += size_bytes
        heapq.heappush(self._slowest, Slow(milliseconds, method, status, about))
        if len(self._slowest) > _SLOWEST:
            heapq.heappop(self._slowest)

    def spent(self, phase: str, milliseconds: float) -> None:
        """Count a piece of work."""
        if phase in self.phases or len(self.phases) < _MOST_PHASES:
            self.phases.setdefault(phase, Phase()).add(milliseconds)

    def ran(self, runner: str, count: int = 1) -> None:
        """Count actions by what ran them."""
        self.runners[runner] += count
        if runner == CACHED:
            self.hits = (self.hits or 0) + count
        elif runner not in _NO_WORK:
            self.misses = (self.misses or 0) + count

"""What snapshots say over time: rates and the last values of what is drawn as a line. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nlctl.watch.facts import Snapshot

_KEPT: Final = 600
_WINDOW_SECONDS: Final = 5.0


@dataclass(frozen=True)
class _Totals:
    moment: float
    counters: dict[str, int]
    cpu: dict[str, float]


class History:
    """The snapshots of the last minutes, of which rates are made. Values are None before two snapshots tell them."""

    def __init__(self) -> None:
        self._totals: deque[_Totals] = deque(maxlen=_KEPT)
        self._series: dict[str, deque[float | None]] = {}

    def add(self, now: Snapshot) -> None:
        """Take in one more snapshot, later than all before."""
        names = {name for part in now.parts for name in part.counters}
        cpu = {part.name: part.cpu_seconds for part in now.parts if part.cpu_seconds is not None}
        self._totals.append(_Totals(now.moment, {name: now.total(name) for name in names}, cpu))
        self._note("queue", float(now.queue_length))
        self._note("running", float(now.running))
        self._note("hit", self.hit_ratio())
        self._note("calls", self.rate("calls"))
        for part in now.parts:
            self._note(f"cpu {part.name}", self.cpu(part.name))

    def rate(self, counter: str) -> float | None:
        """How much this counter of all parts grew in a second, of late."""
        early, late = self._pair()
        if early is None or late is None or counter not in early.counters or counter not in late.counters:
            return None
        return max(0.0, late.counters[counter] - early.counters[counter]) / (late.moment - early.moment)

    def cpu(self, part: str) -> float | None:
        """The share of one core that this part used of late, with all that descend from it."""
        early, late = self._pair()
        if early is None or late is None or part not in early.cpu or part not in late.cpu:
            return None
        return max(0.0, late.cpu[part] - early.cpu[part]) / (late.moment - early.moment)

    def hit_ratio(self) -> float | None:
        """The share of results that were found, of those asked for in all kept snapshots; None when nobody asked."""
        if len(self._totals) < 2:
            return None
        early, late = self._totals[0].counters, self._totals[-1].counters
        found, missed = (max(0, late.get(name, 0) - early.get(name, 0)) for name in ("found_results", "missed_results"))
        return found / (found + missed) if found + missed else None

    def series(self, name: str) -> Sequence[float | None]:
        """The values of `queue`, `running`, `hit`, `calls` or `cpu PART`, oldest first."""
        return list(self._series.get(name, ()))

    def _note(self, name: str, value: float | None) -> None:
        self._series.setdefault(name, deque(maxlen=_KEPT)).append(value)

    def _pair(self) -> tuple[_Totals | None, _Totals | None]:
        """The latest totals, and those that were taken a few seconds before."""
        if len(self._totals) < 2:
            return None, None
        late = self._totals[-1]
        for early in reversed(self._totals):
            if late.moment - early.moment >= _WINDOW_SECONDS:
                return early, late
        return self._totals[0], late

"""Bazel's JSON profile (`--profile`): events of the Chrome trace format. Pure."""

from __future__ import annotations

from typing import Any, Final

from nlctl.buildlog.gathered import Gathered

_MARKER: Final = "build phase marker"
_CRITICAL: Final = "critical path component"
_LEFT_OUT: Final = frozenset({"general information", "gc notification", "skyframe evaluator", "package creation"})


class Profile:
    """Fed event by event."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._phase: tuple[str, float] | None = None
        self._last = 0.0

    def event(self, event: dict[str, Any]) -> None:
        """The next event."""
        self._gathered.entries += 1
        category, name = event.get("cat"), str(event.get("name", ""))
        begin, lasted = _number(event.get("ts")), _number(event.get("dur"))
        if event.get("ph") == "X" and begin >= 0:
            self._last = max(self._last, begin + lasted)
        if category == _MARKER:
            self._begins(name, begin)
        elif category == _CRITICAL:
            self._gathered.critical_path_ms = (self._gathered.critical_path_ms or 0.0) + lasted / 1000
        elif isinstance(category, str) and event.get("ph") == "X" and category not in _LEFT_OUT:
            self._gathered.spent(category.lower(), lasted / 1000)

    def end(self) -> None:
        """There are no more events."""
        self._begins("", self._last)
        self._gathered.elapsed_ms = self._last / 1000 if self._last else None

    def _begins(self, name: str, at: float) -> None:
        if self._phase is not None and at >= self._phase[1]:
            self._gathered.spent(f"phase: {self._phase[0]}", (at - self._phase[1]) / 1000)
        self._phase = (name, at)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0

"""Bazel's events as JSON lines (`--build_event_json_file`): its words are in them, and its metrics. Pure."""

from __future__ import annotations

from typing import Any

from nlctl.buildlog.gathered import ERROR, Gathered
from nlctl.buildlog.words import Words


class Events:
    """Fed event by event."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._words = Words(gathered)
        self._rest = ""

    def event(self, event: dict[str, Any]) -> None:
        """The next event."""
        for stream in ("stderr", "stdout"):
            self._say(str(_in(event, "progress", stream) or ""))
        if said := _in(event, "aborted", "description"):
            self._gathered.went_wrong(ERROR, self._gathered.entries, f"{_in(event, 'aborted', 'reason')}: {said}")
        wall = _in(event, "buildMetrics", "timingMetrics", "wallTimeInMs")
        if wall is not None and str(wall).isdigit():
            self._gathered.elapsed_ms = float(wall)
        self._counted(_in(event, "buildMetrics", "actionSummary", "runnerCount"))

    def _say(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._words.line(line)

    def _counted(self, runners: Any) -> None:
        if not isinstance(runners, list) or self._gathered.runners:
            return
        for one in runners:
            name, count = _in(one, "name"), _in(one, "count")
            if name not in (None, "total") and str(count).isdigit():
                self._gathered.ran(str(name), int(count))


def _in(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value

"""What a run tells: a line for each fault as it happens, and at the end a row for each kind of fault."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.stream import Stream


@dataclass
class _Row:
    times: int = 0
    failed: int = 0
    worst: float = 0.0
    total: float = 0.0


class Table:
    """Rows in the order of their first fault."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._rows: dict[str, _Row] = {}
        self._lines: list[str] = []
        self._began = time.monotonic()

    def begins(self, name: str, what: str, stream: Stream) -> None:
        """A fault is about to strike."""
        count = sum(row.times for row in self._rows.values())
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        jobs = f"{stream.done.total()} jobs done, {stream.errors.total()} refused"
        self._say(f"{minutes:>3}:{seconds:02} {count:>4}  {jobs:<32}  {name:<24}  {what}")

    def ended(self, name: str, recovery_seconds: float, total_seconds: float, wrong: Sequence[str]) -> None:
        """It is over, and these are wrong."""
        row = self._rows.setdefault(name, _Row())
        row.times += 1
        row.failed += bool(wrong)
        row.worst = max(row.worst, recovery_seconds)
        row.total += total_seconds
        for one in wrong:
            self._say(f"    WRONG {one}")

    def note(self, text: str, stream: Stream) -> None:
        """Something for the end."""
        self._say(f"{text}; {stream.done.total()} jobs done: {_counts(stream.done)}")
        self._say(f"{stream.errors.total()} jobs refused: {_counts(stream.errors)}")

    def broke(self, trace: str) -> None:
        """The run itself came to a bad end."""
        self._say(trace)

    def show(self, more: Sequence[str]) -> None:
        """Print the rows."""
        for line in more:
            self._say(line)
        self._say(f"\n{self._title}: {sum(row.times for row in self._rows.values())} faults")
        self._say(f"{'fault':<28} {'times':>6}  {'result':<10} {'worst recovery':>15}")
        for name, row in self._rows.items():
            result = f"{row.failed} failed" if row.failed else "ok"
            self._say(f"{name:<28} {row.times:>6}  {result:<10} {row.worst:>13.1f} s")

    def text(self) -> str:
        """All that was said."""
        return "\n".join(self._lines) + "\n"

    def _say(self, line: str) -> None:
        self._lines.append(line)
        print(line, flush=True)


def _counts(counter: object) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(dict(counter).items()))  # type: ignore[call-overload]

"""What a run tells: a line for each fault as it happens, and at the end a row for each kind of fault.

`python -m tests.faults.table A.json B.json` adds up what several runs wrote, and prints one table as Markdown.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.faults.load import Load

START: Final = "start"
"""The round before the first fault."""


@dataclass
class Row:
    """One kind of fault. `recoveries` are seconds from the end of the fault until the whole cluster served again."""

    name: str
    failed: int = 0
    recoveries: list[float] = field(default_factory=list)
    done: int = 0
    refused: int = 0

    @property
    def times(self) -> int:
        """How often it was injected."""
        return len(self.recoveries)

    @property
    def result(self) -> str:
        """In a word."""
        return f"{self.failed} failed" if self.failed else "ok"

    def add(self, other: Row) -> None:
        """Count what another run saw as well."""
        self.failed += other.failed
        self.recoveries += other.recoveries
        self.done += other.done
        self.refused += other.refused


class Table:
    """Rows in the order of their first fault."""

    def __init__(self, site: str, work: str, pace: str, seed: int) -> None:
        self._run = {"site": site, "work": work, "pace": pace, "seed": seed}
        self._rows: dict[str, Row] = {}
        self._lines: list[str] = []
        self._began = time.monotonic()
        self._before = (0, 0)

    def begins(self, name: str, what: str, load: Load) -> None:
        """A fault is about to strike."""
        count = sum(row.times for row in self._rows.values())
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        self._before = (load.done.total(), load.errors.total())
        work = f"{self._before[0]} {load.counted} done, {self._before[1]} refused"
        self._say(f"{minutes:>3}:{seconds:02} {count:>4}  {work:<32}  {name:<24}  {what}")

    def ended(self, name: str, recovery_seconds: float, load: Load, wrong: Sequence[str]) -> None:
        """It is over, and these are wrong."""
        row = self._rows.setdefault(name, Row(name))
        row.failed += bool(wrong)
        row.recoveries.append(round(recovery_seconds, 3))
        row.done += load.done.total() - self._before[0]
        row.refused += load.errors.total() - self._before[1]
        for one in wrong:
            self._say(f"    WRONG {one}")

    def note(self, text: str, load: Load) -> None:
        """Something for the end."""
        self._say(f"{text}; {load.done.total()} {load.counted} done: {_counts(load.done)}")
        self._say(f"{load.errors.total()} {load.counted} refused: {_counts(load.errors)}")

    def broke(self, trace: str) -> None:
        """The run itself came to a bad end."""
        self._say(trace)

    def show(self, more: Sequence[str]) -> None:
        """Print the rows."""
        for line in more:
            self._say(line)
        faults = [row for row in self._rows.values() if row.name != START]
        title = ", ".join(f"{name} {value}" for name, value in self._run.items())
        self._say(f"\n{title}: {sum(row.times for row in faults)} faults")
        self._say(f"{'fault':<28} {'times':>6}  {'result':<10} {'recovery: least':>15} {'median':>8} {'most':>8}")
        for row in faults:
            least, median, most = _recovery(row)
            self._say(f"{row.name:<28} {row.times:>6}  {row.result:<10} {least:>13} s {median:>6} s {most:>6} s")

    def text(self) -> str:
        """All that was said."""
        return "\n".join(self._lines) + "\n"

    def document(self) -> dict[str, Any]:
        """For `merged`."""
        seconds = round(time.monotonic() - self._began)
        rows = [asdict(row) for row in self._rows.values() if row.name != START]
        return {**self._run, "seconds": seconds, "rows": rows}

    def _say(self, line: str) -> None:
        self._lines.append(line)
        print(line, flush=True)


def merged(documents: Iterable[Mapping[str, Any]]) -> str:
    """The rows of several runs added up, as a table in Markdown, and one line for each sort of run."""
    rows: dict[str, Row] = {}
    runs: dict[str, list[tuple[int, int, int]]] = {}
    for run in documents:
        found = [Row(**row) for row in run["rows"]]
        for row in found:
            rows.setdefault(row.name, Row(row.name)).add(row)
        sort = f"| {run['site']} | {run['work']} | {run['pace']} |"
        times = sum(row.times for row in found)
        runs.setdefault(sort, []).append((run["seed"], times, run["seconds"]))
    lines = ["| fault | times | result | work done | refused | recovery: least | median | most |"]
    lines.append("|---|--:|---|--:|--:|--:|--:|--:|")
    for name in sorted(rows):
        row = rows[name]
        cells = [name, row.times, row.result, row.done, row.refused, *(f"{one} s" for one in _recovery(row))]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    total, failed = sum(row.times for row in rows.values()), sum(row.failed for row in rows.values())
    lines.append(f"| **all** | **{total}** | {f'{failed} failed' if failed else 'ok'} | | | | | |")
    lines += ["", "| cluster | work | pace | seeds | faults | minutes |", "|---|---|---|---|--:|--:|"]
    for sort, each in sorted(runs.items()):
        seeds = ", ".join(str(seed) for seed, _, _ in sorted(each))
        minutes = round(sum(seconds for _, _, seconds in each) / 60)
        lines.append(f"{sort} {seeds} | {sum(times for _, times, _ in each)} | {minutes} |")
    return "\n".join(lines)


def _recovery(row: Row) -> list[str]:
    seconds = row.recoveries
    return [f"{one:.1f}" for one in (min(seconds), statistics.median(seconds), max(seconds))]


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))


if __name__ == "__main__":
    print(merged([json.loads(Path(path).read_text()) for path in sys.argv[1:]]))

"""`nlctl logs`: what the parts say, merged by time, cut and followed on demand."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import UNKNOWN_PART, USAGE, Fault, fix
from nlctl.launch import backends
from nlctl.launch.correlation import Work
from nlctl.launch.ledger import Ledger
from nlctl.launch.reading import LEVELS, Entry, Follower, merged
from nlctl.session import Session
from nlctl.ui import Ui

EPILOG = """\b
Examples:
  nlctl logs --tail 20
  nlctl logs worker-1 worker-2 -f --level warn
  nlctl workers logs worker-1 --grep "Executing action"
  nlctl logs --action @last --since 10m
  nlctl logs --since 5m | grep "Executing action" | cut -f1 | sort | uniq -c
\b
Exit status: 0 shown, 2 a bad time, level or expression, 3 no such part, 4 no cluster
"""


def command(
    ctx: typer.Context,
    parts: Annotated[list[str] | None, typer.Argument(help="cas, scheduler, worker-N, supervisor.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    tail: Annotated[int | None, typer.Option(help="Only the last so many events.", min=0)] = None,
    since: Annotated[str, typer.Option(help="Only what is younger: 30s, 10m, or a time.")] = "",
    until: Annotated[str, typer.Option(help="Only what is older: 30s, 10m, or a time.")] = "",
    level: Annotated[str, typer.Option(help="The least that is shown: debug, info, warn or error.")] = "",
    grep: Annotated[str, typer.Option(help="Only events with this regular expression.")] = "",
    op: Annotated[str, typer.Option(help="Only what this operation did, in all parts.")] = "",
    action: Annotated[str, typer.Option(help="Only what was done for this action.")] = "",
    invocation: Annotated[str, typer.Option(help="Only what was done for this invocation of a client.")] = "",
    no_prefix: Annotated[bool, typer.Option("--no-prefix", help="Leave the part's name out.")] = False,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Whole times on a terminal, too.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show the logs of all parts or of some, in the order of time. Works for a stopped cluster too.

    Lines that begin no event, such as those of a traceback, go with the event before them.
    """
    session: Session = ctx.obj
    ledger = session.cluster(name)
    backend = backends.of(ledger)
    backend.gather_logs()
    chosen = _chosen(ledger, parts or [])
    cut = _cut(since, until, level, grep)
    work = _work(session, op, action, invocation)
    follower = Follower({part: ledger.log(part) for part in chosen})
    shown = _of_work(ledger, chosen, work, (entry for entry in merged(follower.history())))
    found: Iterator[Entry] | deque[Entry] = (entry for entry in shown if cut.keeps(entry))
    writer = _Writer(session.ui, chosen, no_prefix=no_prefix, timestamps=timestamps)
    for entry in found if tail is None else deque(found, tail):
        writer.write(entry)
    session.ui.flush()
    while follow:
        backend.gather_logs()
        for entry in merged(follower.more()):
            if (work is None or work.concerns(entry)) and cut.keeps(entry):
                writer.write(entry)
        session.ui.flush()
    return Exit.OK


@dataclass(frozen=True)
class _Cut:
    """What is kept of all events. An event without a level may be the last words of a part: it is always kept."""

    oldest: str
    youngest: str
    least: int
    pattern: re.Pattern[str] | None

    def keeps(self, entry: Entry) -> bool:
        """Whether this one is shown."""
        if entry.stamp < self.oldest or (self.youngest and entry.stamp > self.youngest):
            return False
        if entry.level is not None and LEVELS[entry.level] < self.least:
            return False
        return self.pattern is None or any(self.pattern.search(line) for line in entry.lines)


def _cut(since: str, until: str, level: str, grep: str) -> _Cut:
    if level and level not in LEVELS:
        raise Fault(USAGE, f"{level!r} is no level", fixes=[fix(f"choose one of {', '.join(LEVELS)}")])
    try:
        pattern = re.compile(grep) if grep else None
    except re.error as error:
        raise Fault(
            USAGE, f"--grep {grep!r} is no regular expression", why=str(error), fixes=[fix("mend it")]
        ) from error
    return _Cut(_moment(since), _moment(until), LEVELS.get(level, 0), pattern)


def _moment(text: str) -> str:
    """The time of a log line that this means; a number with a unit counts back from now. Raises Fault USAGE."""
    if not text:
        return ""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = datetime.now(UTC) - timedelta(seconds=seconds(text))
    local = when.astimezone() if when.tzinfo is None else when
    return local.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _work(session: Session, op: str, action: str, invocation: str) -> Work | None:
    if sum(map(bool, (op, action, invocation))) > 1:
        raise Fault(USAGE, "--op, --action and --invocation are one choice", fixes=[fix("give one of them")])
    if action:
        return Work(action=_hash(session, action))
    if op or invocation:
        return Work(operation=op.rpartition("/")[2], invocation=invocation)
    return None


def _hash(session: Session, text: str) -> str:
    """The hash of this digest, or as much of it as is given."""
    if re.fullmatch("[0-9a-fA-F]{8,64}", text):
        return text.lower()
    from nlserver.reapi.digest import Function

    from nlctl.resolve import single

    return single(session, text, Function.SHA256).hash


def _of_work(ledger: Ledger, parts: list[str], work: Work | None, entries: Iterator[Entry]) -> Iterator[Entry]:
    """Those of the work alone. The scheduler is read first: what it says ties the lines of the others together."""
    if work is None:
        return entries
    if "scheduler" not in parts or len(parts) > 1:
        for entry in merged(Follower({"scheduler": ledger.log("scheduler")}).history()):
            work.concerns(entry)
    return work.chosen(entries)


def _chosen(ledger: Ledger, parts: list[str]) -> list[str]:
    there = sorted((path.stem for path in ledger.logs.glob("*.log")), key=_order)
    for part in parts:
        if part not in there:
            raise Fault(
                UNKNOWN_PART,
                f"cluster {ledger.name!r} has no log of {part!r}",
                why=f"there are: {', '.join(there) or 'none'}",
                fixes=[fix("see the parts", "nlctl", "-C", ledger.name, "ps")],
            )
    return parts or [part for part in there if part != "supervisor"]


def _order(part: str) -> tuple[int, int, str]:
    head, _, number = part.rpartition("-")
    return (1, int(number), head) if number.isdigit() else (0, 0, part)


class _Writer:
    def __init__(self, ui: Ui, parts: list[str], *, no_prefix: bool, timestamps: bool) -> None:
        self._ui = ui
        self._numbers = {part: number for number, part in enumerate(parts)}
        self._width = max((len(part) for part in parts), default=0)
        self._no_prefix = no_prefix
        self._short = ui.format == "table" and not timestamps

    def write(self, entry: Entry) -> None:
        for number, line in enumerate(entry.lines):
            if self._ui.structured:
                facts = {"part": entry.part, "time": entry.stamp or None, "level": entry.level, "line": line}
                self._ui.event("nlctl.log/v1", facts)
                continue
            text = _shortened(entry, line) if self._short and number == 0 else line
            if self._no_prefix:
                self._ui.prefixed(0, "", text)
            elif self._ui.format == "table":
                self._ui.prefixed(self._numbers[entry.part], f"{entry.part:<{self._width}} |", text)
            else:
                self._ui.text_fields(entry.part, text)


def _shortened(entry: Entry, line: str) -> str:
    """For a person who looks now: the local time of day, and no second name of the part."""
    if not entry.stamp or not line.startswith(entry.stamp):
        return line
    clock = datetime.fromisoformat(entry.stamp).astimezone().strftime("%H:%M:%S")
    return clock + line.removeprefix(entry.stamp).replace(f" {entry.part} ", " ", 1)

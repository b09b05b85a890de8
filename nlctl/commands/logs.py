"""`nlctl logs`: what the parts say, merged by time, and followed on demand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import UNKNOWN_PART, Fault, fix
from nlctl.launch.ledger import Ledger
from nlctl.launch.reading import Entry, Follower, merged
from nlctl.session import Session
from nlctl.ui import Ui

EPILOG = """\b
Examples:
  nlctl logs --tail 20
  nlctl logs worker-1 worker-2 -f
  nlctl workers logs worker-1
  nlctl logs --since 5m | grep "Executing action" | cut -f1 | sort | uniq -c
\b
Exit status: 0 shown, 3 no such part, 4 no cluster
"""


def command(
    ctx: typer.Context,
    parts: Annotated[list[str] | None, typer.Argument(help="cas, scheduler, worker-N, supervisor.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    tail: Annotated[int | None, typer.Option(help="Only the last so many lines.")] = None,
    since: Annotated[str, typer.Option(help="Only lines younger than this: 30s, 10m.")] = "",
    no_prefix: Annotated[bool, typer.Option("--no-prefix", help="Leave the part's name out.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show the logs of all parts or of some, in the order of time. Works for a stopped cluster too."""
    session: Session = ctx.obj
    ledger = session.cluster(name)
    chosen = _chosen(ledger, parts or [])
    oldest = _stamp(datetime.now(UTC) - timedelta(seconds=seconds(since))) if since else ""
    follower = Follower({part: ledger.log(part) for part in chosen})
    entries = [entry for entry in merged(follower.history()) if entry.stamp >= oldest]
    writer = _Writer(session.ui, chosen, no_prefix=no_prefix)
    for entry in entries if tail is None else entries[max(0, len(entries) - tail) :]:
        writer.write(entry)
    session.ui.flush()
    while follow:
        for entry in merged(follower.more()):
            writer.write(entry)
        session.ui.flush()
    return Exit.OK


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


def _stamp(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Writer:
    def __init__(self, ui: Ui, parts: list[str], *, no_prefix: bool) -> None:
        self._ui = ui
        self._numbers = {part: number for number, part in enumerate(parts)}
        self._width = max((len(part) for part in parts), default=0)
        self._no_prefix = no_prefix

    def write(self, entry: Entry) -> None:
        for line in entry.lines:
            if self._ui.structured:
                self._ui.event("nlctl.log/v1", {"part": entry.part, "time": entry.stamp or None, "line": line})
            elif self._no_prefix:
                self._ui.prefixed(0, "", line)
            elif self._ui.format == "table":
                self._ui.prefixed(self._numbers[entry.part], f"{entry.part:<{self._width}} |", line)
            else:
                self._ui.text_fields(entry.part, line)

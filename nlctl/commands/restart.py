"""`nlctl restart`: start parts of a running cluster anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import UNKNOWN_PART, Fault, fix
from nlctl.launch.ledger import Ledger
from nlctl.launch.restarting import Limits, Restart
from nlctl.launch.wish import workers_of
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl restart --rolling             every part, one after the other
  nlctl restart workers --rolling
  nlctl restart worker-2 scheduler
\b
Exit status: 0 all ready again, 3 no such part, 4 no cluster runs, 5 a part failed, 6 not ready in time, 7 lock held
"""


def command(
    ctx: typer.Context,
    parts: Annotated[list[str] | None, typer.Argument(help="cas, scheduler, worker-N, workers; all of them.")] = None,
    rolling: Annotated[bool, typer.Option("--rolling", help="One after the other, workers without a gap.")] = False,
    deadline: Annotated[str, typer.Option(help="Longest that a part may finish what it does.")] = "60s",
    wait_timeout: Annotated[str, typer.Option(help="Longest wait until a part is ready again.")] = "60s",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show which, in their order.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Start parts anew, with the config files as they are now on disk.

    Workers finish what they run first. With --rolling the next part is touched only when the one before is ready
    again, and a worker only counts once a canary came back from it.
    """
    session: Session = ctx.obj
    limits = Limits(seconds(deadline), seconds(wait_timeout))
    ledger, backend = session.running(name)
    with ledger.locked():
        before = {one.name: one.pid for one in backend.reports() or ()}
        chosen = _chosen(ledger, list(before), parts or [])
        record = ledger.load()
        assert record is not None
        work = Restart(ledger, record.ports, backend, session.ui, limits)
        session.ui.say(f"{'Would restart' if dry_run else 'Restarting'} {', '.join(chosen)}")
        if not dry_run:
            (work.rolling if rolling else work.together)(chosen)
        after = {one.name: one.pid for one in backend.reports() or ()}
    item: dict[str, Any] = {
        "name": ledger.name,
        "dry_run": dry_run,
        "rolling": rolling,
        "parts": [{"name": part, "pid_before": before[part], "pid": after.get(part)} for part in chosen],
        "took_ms": int(work.seconds * 1000),
    }
    session.ui.item("nlctl.restart/v1", item, "", name=" ".join(chosen))
    return Exit.OK


def _chosen(ledger: Ledger, there: Sequence[str], asked: Sequence[str]) -> list[str]:
    """The asked parts, each once, in the order in which they start."""
    wanted = set(asked or there)
    if "workers" in wanted:
        wanted = (wanted - {"workers"}) | set(workers_of(there))
    for part in sorted(wanted - set(there)):
        raise Fault(
            UNKNOWN_PART,
            f"cluster {ledger.name!r} has no part {part!r}",
            why=f"there are: {', '.join(there)}",
            fixes=[fix("see them", "nlctl", "-C", ledger.name, "ps")],
        )
    return [part for part in there if part in wanted]

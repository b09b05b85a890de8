"""`nlctl lab start`: a practice cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl lab start
  nlctl lab start --workers 3
  nlctl lab start --dry-run
\b
Exit status: 0 it runs, 5 a part or canary failed, 6 not ready in time, 7 a cluster of this name is no lab
"""


def command(
    ctx: typer.Context,
    workers: Annotated[int, typer.Option(help="How many workers, two at least.", min=2)] = 2,
    wait_timeout: Annotated[str, typer.Option(help="Longest wait until it is ready.")] = "60s",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only tell whether it would start.")] = False,
    name: Annotated[str, typer.Option(help="What to call it; lab.")] = "",
) -> int:
    """Start a small cluster of its own, into which `nlctl lab break` puts faults.

    It is an ordinary cluster with free ports and a folder of its own, and touches no other. What was broken in it
    stays broken until `nlctl lab restore`.
    """
    from nlctl.lab.lab import SHAPE, Lab, ledger_of, opened

    session: Session = ctx.obj
    ledger = ledger_of(session, name)
    lab = opened(session, name) if ledger.exists else Lab(session, ledger)
    if not dry_run and not lab.journal.broken:
        lab.start(replace(SHAPE, workers=workers, wait_seconds=seconds(wait_timeout)))
    session.ui.say(f'Lab "{ledger.name}" {"would run" if dry_run else "runs"} with {workers} workers.')
    session.ui.say("Faults   nlctl lab ls        Break it   nlctl lab break split-cas        All   nlctl lab tour")
    item = {"name": ledger.name, "dry_run": dry_run, "workers": workers, "broken": lab.journal.broken or None}
    session.ui.item("nlctl.lab.start/v1", item, "", name=ledger.name)
    return Exit.OK

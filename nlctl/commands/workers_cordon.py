"""`nlctl workers cordon`: give workers no new work; what they run goes on."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl.cordon import turn
from nlctl.exits import Exit
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl workers cordon worker-2
  nlctl workers cordon worker-1 worker-2
\b
Exit status: 0 done, 3 no such worker, 4 no cluster is running, 10 this server knows no workers
"""


def command(
    ctx: typer.Context,
    worker: Annotated[list[str], typer.Argument(help="Names or ids, as `nlctl workers ls` shows them.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show which workers are meant.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Give workers no new work; what they run goes on."""
    session: Session = ctx.obj
    turn(session, name, worker, draining=True, dry_run=dry_run)
    return Exit.OK

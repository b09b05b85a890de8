"""`nlctl ops ls`: what waits, what runs, and what ended lately."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl import admin
from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.operations import MOST, row
from nlctl.session import Session, admin_of
from nlctl.ui import Column, human_ago

EPILOG = """\b
Examples:
  nlctl ops ls
  nlctl ops ls --state queued -q
  nlctl ops ls --state completed -o json
  nlctl ops ls --invocation 0b1e6f1c-8a51-4c36-9d0f-2f1f0a3d4c5b
\b
Exit status: 0 listed, 2 no such state, 4 no cluster is running, 10 this server cannot list operations
"""
_STATES = ("queued", "executing", "completed")
_COLUMNS = (
    # Its first digits name it in every command.
    Column("ID", "id", lambda id_: id_[:8]),
    Column("STATE", "state"),
    Column("FOR", "since", human_ago),
    Column("WORKER", "worker"),
    Column("ACTION", "action"),
    Column("TARGET", "target"),
    Column("WHY", "explanation"),
)


def command(
    ctx: typer.Context,
    state: Annotated[list[str] | None, typer.Option(help="queued, executing or completed; all but completed.")] = None,
    invocation: Annotated[str, typer.Option(help="Only those that this run of a client asked for first.")] = "",
    limit: Annotated[int, typer.Option(help="The most operations to list, the oldest first.", min=1)] = 1000,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """List the operations that the scheduler knows, oldest first."""
    session: Session = ctx.obj
    for asked in state or ():
        if asked not in _STATES:
            raise Fault(USAGE, f"{asked!r} is no state", fixes=[fix(f"choose one of {', '.join(_STATES)}")])
    endpoint = admin_of(session.target(name))
    found, total = admin.operations(endpoint, state or _STATES[:2], min(limit, MOST), invocation)
    warnings = [f"{total - len(found)} more are not shown"] if total > len(found) else []
    session.ui.items(
        "nlctl.ops/v1",
        [row(one) for one in found],
        _COLUMNS,
        warnings=warnings,
        facts={"total": total},
        none=f"no operation is {' or '.join(state or _STATES[:2])}",
    )
    return Exit.OK

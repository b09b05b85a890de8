"""`nlctl ops ls`: what waits, what runs, and what ended lately."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nlctl import admin
from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.recents import as_json
from nlctl.session import Session, admin_of
from nlctl.ui import Column, human_ago, stamp

EPILOG = """\b
Examples:
  nlctl ops ls
  nlctl ops ls --state queued -q
  nlctl ops ls --state completed -o json
\b
Exit status: 0 listed, 2 no such state, 4 no cluster is running, 10 this server cannot list operations
"""
_STATES = ("queued", "executing", "completed")
_COLUMNS = (
    Column("ID", "id"),
    Column("STATE", "state"),
    Column("FOR", "since", human_ago),
    Column("WORKER", "worker"),
    Column("ACTION", "action"),
    Column("WHY", "explanation"),
)


def command(
    ctx: typer.Context,
    state: Annotated[list[str] | None, typer.Option(help="queued, executing or completed; all but completed.")] = None,
    limit: Annotated[int, typer.Option(help="The most operations to list, the oldest first.", min=1)] = 1000,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """List the operations that the scheduler knows, oldest first."""
    session: Session = ctx.obj
    for asked in state or ():
        if asked not in _STATES:
            raise Fault(USAGE, f"{asked!r} is no state", fixes=[fix(f"choose one of {', '.join(_STATES)}")])
    found, total = admin.operations(admin_of(session.target(name)), state or _STATES[:2], min(limit, 5000))
    warnings = [f"{total - len(found)} more are not shown"] if total > len(found) else []
    session.ui.items("nlctl.ops/v1", [_row(one) for one in found], _COLUMNS, warnings=warnings, facts={"total": total})
    return Exit.OK


def _row(operation: admin.OperationFacts) -> dict[str, Any]:
    return {
        "id": operation.id,
        "state": operation.stage,
        "since": stamp(operation.since),
        "queued": stamp(operation.queued),
        "worker": admin.worker_name(operation.worker) or None,
        "worker_id": operation.worker or None,
        "action": as_json(operation.action),
        "instance": operation.instance,
        "priority": operation.priority,
        "attempts": operation.attempts,
        "waiters": operation.waiters,
        "properties": operation.properties,
        "unsatisfiable": operation.unsatisfiable,
        "explanation": operation.explanation or None,
    }

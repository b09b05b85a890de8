"""`nlctl queue explain`: why an operation does not run, worker by worker."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from nlserver.errors import Code, Error

from nlctl import admin
from nlctl.exits import Exit
from nlctl.faults import NO_OPERATION, Fault, fix
from nlctl.session import Session, admin_of
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl queue explain 6b1f0f6e-8f0a-4a5e-a6a4-3d1c8a5f0f6b
  nlctl ops ls --state queued -q | head -1 | xargs nlctl queue explain
\b
Exit status: 0 it runs, ended or will run, 3 nobody knows it, 4 no cluster is running, 5 no worker could ever run it
"""
_COLUMNS = (Column("WORKER", "worker"), Column("VERDICT", "verdict"), Column("REASON", "reason"))


def command(
    ctx: typer.Context,
    operation: Annotated[str, typer.Argument(help="An id, as `nlctl ops ls` shows it, or a client's name for it.")],
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Tell why an operation does not run: of each worker, which property differs or what it is busy with."""
    session: Session = ctx.obj
    try:
        found = admin.explain(admin_of(session.target(name)), operation.rpartition("/")[2])
    except Error as error:
        if error.code is not Code.NOT_FOUND:
            raise
        known = fix("see those that are known", "nlctl", "ops", "ls")
        raise Fault(NO_OPERATION, f"nobody knows operation {operation}", fixes=[known]) from error
    rows: list[dict[str, Any]] = [
        {"worker": one.worker, "verdict": one.verdict, "reason": one.reason or None} for one in found.workers
    ]
    facts = {"operation": operation, "summary": found.summary, "unsatisfiable": found.unsatisfiable}
    session.ui.items("nlctl.queue.explain/v1", rows, _COLUMNS, facts=facts)
    ever = f"it will wait for ever: {found.summary}" if found.unsatisfiable else found.summary
    session.ui.say(ever)
    return Exit.UNHEALTHY if found.unsatisfiable else Exit.OK

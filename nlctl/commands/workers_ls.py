"""`nlctl workers ls`: the workers that the scheduler sees."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nlctl import admin
from nlctl.exits import Exit
from nlctl.session import Session, admin_of
from nlctl.ui import Column, human_ago, human_properties, stamp

EPILOG = """\b
Examples:
  nlctl workers ls
  nlctl workers ls -q | wc -l
  nlctl workers ls -o json
\b
Exit status: 0 listed, 4 no cluster is running, 10 this server cannot list workers
"""


def command(ctx: typer.Context, name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "") -> int:
    """List the workers that are registered with the scheduler, with what they offer and what they run."""
    session: Session = ctx.obj
    endpoint = admin_of(session.target(name))
    found = sorted(admin.workers(endpoint), key=lambda one: _natural(one.name))
    session.ui.items("nlctl.workers/v1", [_row(one) for one in found], _COLUMNS)
    return Exit.OK


def _natural(name: str) -> tuple[str, int]:
    head, _, number = name.rpartition("-")
    return (head, int(number)) if number.isdigit() else (name, 0)


def _row(worker: admin.WorkerFacts) -> dict[str, Any]:
    return {
        "name": worker.name,
        "state": worker.state,
        "running": len(worker.operations),
        "most": worker.most_operations or None,
        "completed": worker.completed,
        "last_seen": stamp(worker.last_seen),
        "connected": stamp(worker.connected),
        "properties": worker.properties,
        "remaining": worker.remaining,
        "operations": list(worker.operations),
        "scheduler": worker.scheduler,
        "id": worker.id,
    }


_COLUMNS = (
    Column("WORKER", "name"),
    Column("STATE", "state"),
    Column("RUNNING", "running"),
    Column("DONE", "completed"),
    Column("LAST SEEN", "last_seen", human_ago),
    Column("UP", "connected", human_ago),
    Column("PROPERTIES", "properties", human_properties),
)

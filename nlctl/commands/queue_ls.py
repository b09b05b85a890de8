"""`nlctl queue ls`: what waits, by the properties that are asked."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nlctl import admin
from nlctl.exits import Exit
from nlctl.session import Session, admin_of
from nlctl.ui import Column, human_ago, human_properties, stamp

EPILOG = """\b
Examples:
  nlctl queue ls
  nlctl queue ls -o json
\b
Exit status: 0 listed, 4 no cluster is running, 5 something waits that no worker can run, 10 not known here
"""
_COLUMNS = (
    Column("PROPERTIES", "properties", human_properties),
    Column("QUEUED", "queued"),
    Column("RUNNING", "executing"),
    Column("WORKERS", "workers"),
    Column("FREE", "free_workers"),
    Column("OLDEST", "oldest", human_ago),
    Column("WHY", "explanation"),
)


def command(ctx: typer.Context, name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "") -> int:
    """List what waits and runs, by platform properties, with how many workers fit and why the oldest waits."""
    session: Session = ctx.obj
    found = admin.queues(admin_of(session.target(name)))
    session.ui.items("nlctl.queue/v1", [_row(one) for one in found], _COLUMNS, none="nothing waits or runs")
    return Exit.UNHEALTHY if any(one.queued and not one.workers for one in found) else Exit.OK


def _row(queue: admin.QueueFacts) -> dict[str, Any]:
    return {
        "scheduler": queue.scheduler,
        "properties": queue.properties,
        "queued": queue.queued,
        "executing": queue.executing,
        "workers": queue.workers,
        "free_workers": queue.free_workers,
        "oldest": stamp(queue.oldest),
        "explanation": queue.explanation or None,
    }

"""`nlctl workers ls`: the workers that the scheduler sees."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from nlctl import admin
from nlctl.exits import Exit
from nlctl.session import Session, admin_of
from nlctl.ui import Column, human_span

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
        "last_seen": _time(worker.last_seen),
        "connected": _time(worker.connected),
        "properties": worker.properties,
        "remaining": worker.remaining,
        "operations": list(worker.operations),
        "scheduler": worker.scheduler,
        "id": worker.id,
    }


def _time(seconds: float) -> str | None:
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ago(stamp: str | None) -> str:
    if stamp is None:
        return "-"
    return human_span(max(0.0, time.time() - datetime.fromisoformat(stamp).timestamp()) * 1000)


def _brief(properties: Mapping[str, Sequence[str]]) -> str:
    return " ".join(f"{name}={','.join(values)}" for name, values in properties.items() if any(values))


_COLUMNS = (
    Column("WORKER", "name"),
    Column("STATE", "state"),
    Column("RUNNING", "running"),
    Column("DONE", "completed"),
    Column("LAST SEEN", "last_seen", _ago),
    Column("UP", "connected", _ago),
    Column("PROPERTIES", "properties", _brief),
)

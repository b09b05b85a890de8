"""`nlctl workers match`: which workers could run an action with these properties."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nlctl import admin
from nlctl.exits import Exit
from nlctl.session import Session, admin_of
from nlctl.settings import pairs
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl workers match OSFamily=linux cpu_count=8
  nlctl workers match
\b
Exit status: 0 a worker can or could run it, 3 none ever could, 4 no cluster is running, 10 not known here
"""
_COLUMNS = (Column("WORKER", "worker"), Column("VERDICT", "verdict"), Column("REASON", "reason"))


def command(
    ctx: typer.Context,
    properties: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Platform properties.")] = None,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Tell of each worker whether it could run an action with these properties: now, once free, or never and why."""
    session: Session = ctx.obj
    found = admin.explain_properties(admin_of(session.target(name)), pairs(properties or []))
    rows: list[dict[str, Any]] = [
        {"worker": one.worker, "verdict": one.verdict, "reason": one.reason or None} for one in found.workers
    ]
    facts = {"summary": found.summary, "unsatisfiable": found.unsatisfiable}
    session.ui.items("nlctl.workers.match/v1", rows, _COLUMNS, facts=facts)
    if found.unsatisfiable:
        session.ui.say(f"no worker matches: {found.summary}")
    return Exit.NOT_FOUND if found.unsatisfiable else Exit.OK

"""`nlctl context ls`: the clusters that commands can speak to, here and elsewhere."""

from __future__ import annotations

from typing import Any

import typer

from nlctl.exits import Exit
from nlctl.launch.ledger import Ledger, known
from nlctl.session import Session
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl context ls
  nlctl context ls -q
  nlctl -C "$(nlctl context ls -q | head -1)" status
\b
Exit status: 0 listed, 13 a context or settings file is wrong
"""
_COLUMNS = (
    Column("NAME", "name"),
    Column("CURRENT", "current"),
    Column("WHERE", "where"),
    Column("EXECUTOR", "executor"),
    Column("INSTANCE", "instance"),
    Column("ADMIN", "admin"),
)


def command(ctx: typer.Context) -> int:
    """List the clusters of this machine and the contexts elsewhere; nothing is connected to."""
    session: Session = ctx.obj
    current, _ = session.choice()
    rows = [*map(_here, _ledgers(session)), *(_elsewhere(session, name) for name in session.contexts.names())]
    for row in rows:
        row["current"] = row["name"] == current
    session.ui.items("nlctl.contexts/v1", sorted(rows, key=lambda row: str(row["name"])), _COLUMNS)
    return Exit.OK


def _ledgers(session: Session) -> list[Ledger]:
    return [Ledger(session.state / "clusters" / name) for name in known(session.state)]


def _here(ledger: Ledger) -> dict[str, Any]:
    record = ledger.load()
    assert record is not None
    cas, executor, admin = record.ports.urls
    return {
        "name": ledger.name,
        "current": False,
        "where": "here",
        "cas": cas,
        "executor": executor,
        "admin": admin,
        "instance": "",
    }


def _elsewhere(session: Session, name: str) -> dict[str, Any]:
    context = session.contexts.load(name)
    return {
        "name": name,
        "current": False,
        "where": "elsewhere",
        "cas": context.cas,
        "executor": context.executor,
        "admin": context.admin or context.http,
        "instance": context.instance,
    }

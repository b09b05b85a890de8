"""`nlctl workers match`: which workers could run an action with these properties, or this action."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from nlctl import admin
from nlctl.actions import platform
from nlctl.exits import Exit
from nlctl.faults import Fault
from nlctl.operations import action_meant, verdicts
from nlctl.session import Session, Target, admin_of
from nlctl.settings import pairs
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl workers match OSFamily=linux cpu_count=8
  nlctl workers match @last
  nlctl workers match
\b
Exit status: 0 a worker can or could run it, 3 none ever could, 4 no cluster is running, 10 not known here
"""
_COLUMNS = (Column("WORKER", "worker"), Column("VERDICT", "verdict"), Column("REASON", "reason"))


def command(
    ctx: typer.Context,
    properties: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...|DIGEST", help="Platform properties, or an action.")
    ] = None,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Tell of each worker whether it could run an action with these properties: now, once free, or never and why."""
    session: Session = ctx.obj
    target = session.target(name)
    endpoint = admin_of(target)
    found = admin.explain_properties(endpoint, _asked(session, target, properties or []))
    facts = {"summary": found.summary, "unsatisfiable": found.unsatisfiable}
    session.ui.items("nlctl.workers.match/v1", verdicts(found), _COLUMNS, facts=facts)
    if found.unsatisfiable:
        session.ui.say(f"no worker matches: {found.summary}")
    return Exit.NOT_FOUND if found.unsatisfiable else Exit.OK


def _asked(session: Session, target: Target, words: Sequence[str]) -> Iterable[tuple[str, str]]:
    try:
        return pairs(words).items()
    except Fault:
        action = action_meant(session, words[0]) if len(words) == 1 else None
        if action is None:
            raise
        return session.wait_for(platform(target, action))

"""`nlctl queue explain`: why an operation does not run, or whether an action could, worker by worker."""

from __future__ import annotations

from typing import Annotated

import typer
from nlserver.errors import Code, Error

from nlctl import admin
from nlctl.actions import platform
from nlctl.exits import Exit
from nlctl.faults import NO_OPERATION, Fault
from nlctl.operations import MOST, action_meant, identified, unknown, verdicts
from nlctl.running import adding
from nlctl.session import Session, admin_of
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl queue explain 6b1f0f6e
  nlctl queue explain @last
  nlctl ops ls --state queued -q | head -1 | xargs nlctl queue explain
\b
Exit status: 0 it runs, ended or will run, 3 nobody knows it, 4 no cluster is running, 5 no worker could ever run it
"""
_COLUMNS = (Column("WORKER", "worker"), Column("VERDICT", "verdict"), Column("REASON", "reason"))


def command(
    ctx: typer.Context,
    operation: Annotated[str, typer.Argument(help="An operation's id or its beginning, or an action's digest.")],
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Tell why an operation does not run: of each worker, which property differs or what it is busy with.

    Of an action that is not known to the scheduler it tells whether one could run now.
    """
    session: Session = ctx.obj
    endpoint = admin_of(session.target(name))
    about, found = _explained(session, operation, name)
    facts = {"operation": about, "summary": found.summary, "unsatisfiable": found.unsatisfiable}
    session.ui.items("nlctl.queue.explain/v1", verdicts(found), _COLUMNS, facts=facts)
    ever = f"it will wait for ever: {found.summary}" if found.unsatisfiable else found.summary
    session.ui.say(ever)
    if found.unsatisfiable:
        _say_what_helps(session, endpoint, about)
    return Exit.UNHEALTHY if found.unsatisfiable else Exit.OK


def _say_what_helps(session: Session, endpoint: str, about: str) -> None:
    known, _ = admin.operations(endpoint, ("queued",), MOST)
    asked = [
        (name, value)
        for one in known
        if about in (one.id, str(one.action))
        for name, values in one.properties.items()
        for value in values
    ]
    for remedy in adding(endpoint, asked):
        session.ui.say(f"server: {' '.join(remedy.command)}     client: ask for what workers offer")


def _explained(session: Session, text: str, cluster: str) -> tuple[str, admin.Explanation]:
    target = session.target(cluster)
    endpoint = admin_of(target)
    try:
        about = identified(session, endpoint, text)
    except Fault as fault:
        action = action_meant(session, text) if fault.kind is NO_OPERATION else None
        if action is None:
            raise
        asked = session.wait_for(platform(target, action))
        return str(action), admin.explain_properties(endpoint, asked)
    try:
        return about, admin.explain(endpoint, about)
    except Error as error:
        if error.code is not Code.NOT_FOUND:
            raise
        raise unknown(text) from error

"""`nlctl context rm`: forget a context; the server knows nothing of it."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl.exits import Exit
from nlctl.launch.ledger import Ledger, known
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl context rm prod
  nlctl context export prod > prod.toml && nlctl context rm prod
\b
Exit status: 0 forgotten, 3 no such context, 7 it is a cluster of this machine
"""


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A context elsewhere.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only check that there is such a context.")] = False,
) -> int:
    """Forget a context; what Compose runs under it goes on.

    A cluster that nlctl runs on this machine is removed by `nlctl down --wipe` instead.
    """
    session: Session = ctx.obj
    taken_up = _taken_up(session, name)
    if taken_up is None:
        session.written_context(name)
    if not dry_run:
        if taken_up is not None:
            taken_up.forget(data=True)
        else:
            session.contexts.remove(name)
        session.forget(name)
        session.ui.say(f"Context {name!r} is forgotten.")
    item = {"change": "removed", "name": name, "before": name, "dry_run": dry_run}
    session.ui.item("nlctl.context.change/v1", item, "", name=name)
    return Exit.OK


def _taken_up(session: Session, name: str) -> Ledger | None:
    """The folder of a cluster of this name that Compose runs."""
    if name not in known(session.state):
        return None
    ledger = session.ledger(name)
    record = ledger.load()
    return ledger if record is not None and record.project else None

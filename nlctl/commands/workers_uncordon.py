"""`nlctl workers uncordon`: give workers work again, after cordon or drain."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl import admin
from nlctl.exits import Exit
from nlctl.session import Session, admin_of

EPILOG = """\b
Examples:
  nlctl workers uncordon worker-2
  nlctl workers uncordon worker-1 worker-2
\b
Exit status: 0 done, 3 no such worker, 4 no cluster is running, 10 this server knows no workers
"""


def command(
    ctx: typer.Context,
    worker: Annotated[list[str], typer.Argument(help="Names or ids, as `nlctl workers ls` shows them.")],
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Give workers work again, after cordon or drain."""
    session: Session = ctx.obj
    states = admin.set_drain(admin_of(session.target(name)), worker, draining=False)
    for one in states:
        session.ui.say(f"{one.name} takes work again.")
    rows = [{"name": one.name, "id": one.id, "state": one.state} for one in states]
    session.ui.item("nlctl.workers.uncordon/v1", {"workers": rows}, "", name=" ".join(one.name for one in states))
    return Exit.OK

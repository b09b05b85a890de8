"""`nlctl context export`: a context as text that `nlctl context import` reads on another machine."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl.contexts import Context
from nlctl.exits import Exit
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl context export prod > prod.toml
  nlctl context export | ssh laptop nlctl context import --name lab -
\b
Exit status: 0 written, 3 no such context, 4 the cluster is not running
"""


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Which context; the one that counts here.")] = "",
) -> int:
    """Write a context as TOML. It holds the paths of keys and tokens, never what is in them.

    A cluster of this machine is written with its addresses here, which another machine reaches through a tunnel.
    """
    session: Session = ctx.obj
    target = session.target(name or session.chosen())
    assert target.context is not None
    route = target.route
    made = Context(
        target.context,
        target.cas,
        target.executor,
        target.admin,
        route.url if route else None,
        route.scheduler if route else Context.scheduler,
        target.instance,
        target.access,
    )
    item = {"name": made.name, "text": made.text()}
    session.ui.item("nlctl.context.export/v1", item, made.text(), name=made.name)
    return Exit.OK

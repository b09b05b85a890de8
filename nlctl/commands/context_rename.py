"""`nlctl context rename`: give a context another name."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl.exits import Exit
from nlctl.launch.wish import checked_name
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl context rename prod production
  nlctl context rename old new --dry-run
\b
Exit status: 0 renamed, 3 no such context, 7 the new name is taken, or the old one is a cluster of this machine
"""


def command(
    ctx: typer.Context,
    old: Annotated[str, typer.Argument(help="A context elsewhere.")],
    new: Annotated[str, typer.Argument(help="Its new name.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only check both names.")] = False,
) -> int:
    """Give a context another name; if it is the current one, it stays so."""
    session: Session = ctx.obj
    session.written_context(old)
    session.free_name(checked_name(new))
    if not dry_run:
        session.contexts.rename(old, new)
        session.renamed(old, new)
        session.ui.say(f"Context {old!r} is called {new!r} now.")
    item = {"change": "renamed", "name": new, "before": old, "dry_run": dry_run}
    session.ui.item("nlctl.context.change/v1", item, "", name=new)
    return Exit.OK

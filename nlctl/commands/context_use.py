"""`nlctl context use`: make a context the one that counts where nothing else is said."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl.arguments import Rank
from nlctl.exits import Exit
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl context use prod
  export NLCTL_CONTEXT=prod         for this shell alone, in place of use
  echo 'context = "prod"' > nlctl.toml    for this project alone
\b
Exit status: 0 chosen, 3 no such context
"""


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A cluster here, or a context.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only check that there is such a context.")] = False,
) -> int:
    """Choose the context for commands that are given none, until the next `use` or `up`."""
    session: Session = ctx.obj
    session.known_context(name)
    before = None if dry_run else session.remember(name)
    if not dry_run:
        session.ui.say(f"Context set to {name!r}" + (f" (was: {before})." if before else "."))
        counts, origin = session.choice()
        if counts != name and origin.rank < Rank.CONTEXT:
            session.ui.warn(f"{origin.where} says {counts!r}, which counts for more here")
    item = {"change": "chosen", "name": name, "before": before, "dry_run": dry_run}
    session.ui.item("nlctl.context.change/v1", item, "", name=name)
    return Exit.OK

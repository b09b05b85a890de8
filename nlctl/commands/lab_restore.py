"""`nlctl lab restore`: take the fault out again."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl.exits import Exit
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl lab restore
  nlctl lab restore --dry-run
\b
Exit status: 0 it is whole, 4 no lab runs, 5 a part failed, 6 not ready in time, 7 that cluster is no lab
"""


def command(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only tell what is broken.")] = False,
    name: Annotated[str, typer.Option(help="Which lab; the one called lab.")] = "",
) -> int:
    """Undo what a fault changed, start what does not run, and return when the lab is whole."""
    from nlctl.lab.lab import opened

    session: Session = ctx.obj
    lab = opened(session, name)
    was = lab.journal.broken if dry_run else lab.restore()
    words = f"{was} {'would be taken out' if dry_run else 'is taken out again'}." if was else "Nothing was broken."
    session.ui.say(words)
    item = {"name": lab.ledger.name, "dry_run": dry_run, "fault": was or None}
    session.ui.item("nlctl.lab.restore/v1", item, "", name=was)
    return Exit.OK

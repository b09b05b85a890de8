"""`nlctl lab stop`: stop the lab and remove it."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl.exits import Exit
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl lab stop
  nlctl lab stop --dry-run
\b
Exit status: 0 it is gone, 4 no lab runs, 6 it did not end, 7 that cluster is no lab
"""


def command(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only tell what would go.")] = False,
    name: Annotated[str, typer.Option(help="Which lab; the one called lab.")] = "",
) -> int:
    """Stop the lab and remove its folder: everything in it was made for practice."""
    from nlctl.lab.lab import opened

    session: Session = ctx.obj
    lab = opened(session, name)
    if not dry_run:
        lab.stop()
    session.ui.say(f'Lab "{lab.ledger.name}" {"would go" if dry_run else "is gone"}.')
    session.ui.item("nlctl.lab.stop/v1", {"name": lab.ledger.name, "dry_run": dry_run}, "", name=lab.ledger.name)
    return Exit.OK

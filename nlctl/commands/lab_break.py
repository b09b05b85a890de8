"""`nlctl lab break`: put a fault into the lab."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl.exits import Exit
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl lab break split-cas
  nlctl lab break evicted-blob --dry-run
\b
Exit status: 0 broken, 3 no such fault, 4 no lab runs, 7 that cluster is no lab, or it is broken already,
  8 this fault needs more rights
"""


def command(
    ctx: typer.Context,
    fault: Annotated[str, typer.Argument(help="Which, as `nlctl lab ls` names it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only tell what would be done.")] = False,
    name: Annotated[str, typer.Option(help="Which lab; the one called lab.")] = "",
) -> int:
    """Put a fault into the lab, and say how to ask the doctor about it.

    What is changed is written down first: `nlctl lab restore` finds its way back also when this command was killed.
    """
    from nlctl.lab.asking import questions
    from nlctl.lab.injection import Clue
    from nlctl.lab.lab import chosen, opened

    session: Session = ctx.obj
    [injection] = chosen([fault])
    lab = opened(session, name)
    clue = Clue(text="HASH/SIZE") if dry_run else lab.broken_by(injection)
    asked = questions(injection, clue, lab.ledger.name)
    session.ui.say(f"{injection.story}\n")
    session.ui.say("\n".join([*(f"Ask       {one}" for one in asked), "Mend it   nlctl lab restore"]))
    item = {
        "name": lab.ledger.name,
        "fault": injection.name,
        "dry_run": dry_run,
        "story": injection.story,
        "ask": [one.document() for one in asked],
    }
    session.ui.item("nlctl.lab.break/v1", item, "", name=injection.name)
    return Exit.OK

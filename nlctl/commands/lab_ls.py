"""`nlctl lab ls`: the faults, and what the doctor says of each."""

from __future__ import annotations

import typer

from nlctl.exits import Exit
from nlctl.session import Session
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl lab ls
  nlctl lab ls -o json | jq -r '.items[].name'
\b
Exit status: 0 always
"""
_COLUMNS = (
    Column("FAULT", "name"),
    Column("AREA", "area"),
    Column("WHAT", "title"),
    Column("CHECK", "check"),
    Column("STATUS", "status"),
    Column("OBJECT", "cause"),
)


def command(ctx: typer.Context) -> int:
    """List the faults that the lab can have: the check that must fail or warn, and the verdict on a blob.

    The doctor is tested to name each of them, and nothing else.
    """
    from nlctl.lab.faults import every

    session: Session = ctx.obj
    rows = [
        {
            "name": one.name,
            "area": one.area,
            "title": one.title,
            "story": one.story,
            "check": one.check or None,
            "status": str(one.status) if one.check else None,
            "cause": str(one.cause) if one.cause else None,
        }
        for one in every().values()
    ]
    session.ui.items("nlctl.lab.ls/v1", rows, _COLUMNS)
    return Exit.OK

"""`nlctl explain`: what an error code means, without any network."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl import faults, pages
from nlctl.exits import Exit
from nlctl.faults import UNKNOWN_PAGE, Fault, Kind, fix
from nlctl.session import Session
from nlctl.spelling import nearest
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl explain NL-CAS-101
  nlctl explain                   every code, a line each
\b
Exit status: 0 shown, 3 there is no such code
"""
_COLUMNS = (Column("CODE", "code"), Column("EXIT", "exit"), Column("TITLE", "title"))


def command(
    ctx: typer.Context, code: Annotated[str, typer.Argument(help="As errors show it; none for all.")] = ""
) -> int:
    """Explain an error code: what happened, how to see it, how to fix it."""
    session: Session = ctx.obj
    exits = {kind.id: kind.exit for kind in vars(faults).values() if isinstance(kind, Kind)}
    if not code:
        known = [(one, pages.read(pages.CODES, one) or "") for one in pages.names(pages.CODES)]
        rows = [
            {"code": one, "title": pages.title(page), "exit": int(exits.get(one, Exit.INVALID))} for one, page in known
        ]
        session.ui.items("nlctl.codes/v1", rows, _COLUMNS)
        return Exit.OK
    page = pages.read(pages.CODES, code.upper())
    if page is None:
        raise _unknown(code)
    found = code.upper()
    parts = pages.sections(page)
    # What a rule finds in a config ends `config validate`, and is no fault of a command.
    ends = exits.get(found, Exit.INVALID)
    item = {
        "code": found,
        "title": pages.title(page),
        "exit": int(ends),
        "exit_name": ends.label,
        "what": parts["What happened"],
        "see": parts["How to see it"],
        "fix": parts["How to fix it"],
    }
    session.ui.item("nlctl.code/v1", item, pages.plain(page), name=found)
    return Exit.OK


def _unknown(code: str) -> Fault:
    near = [
        fix("did you mean this?", "nlctl", "explain", one) for one in nearest(code.upper(), pages.names(pages.CODES))
    ]
    return Fault(
        UNKNOWN_PAGE,
        f"there is no error code {code!r}",
        why="codes look like NL-CAS-101",
        fixes=[*near, fix("see all", "nlctl", "explain")],
    )

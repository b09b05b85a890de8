"""`nlctl context import`: take over a context that `nlctl context export` wrote."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nlctl.contexts import parse
from nlctl.exits import Exit
from nlctl.faults import UNREADABLE, USAGE, Fault, fix
from nlctl.launch.wish import checked_name
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl context import prod.toml
  nlctl context import --name lab - < exported.toml
\b
Exit status: 0 taken over, 2 no name for it, 7 the name is taken, 13 the file is no context
"""


def command(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="The exported file; - for standard input.")],
    name: Annotated[str, typer.Option(help="What to call it; the file's name without .toml.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="In place of the context of this name.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only check it.")] = False,
) -> int:
    """Take over a context. Paths of keys and tokens in it are looked for on this machine."""
    session: Session = ctx.obj
    if file == "-" and not name:
        raise Fault(USAGE, "a context from standard input has no name", fixes=[fix("give one with --name")])
    called = checked_name(name or Path(file).stem)
    made = parse(called, _text(file), "standard input" if file == "-" else file)
    session.free_name(called, replace=replace)
    if not dry_run:
        session.contexts.save(made)
        session.ui.say(f"Context {called!r} added.")
    item = {"change": "imported", "name": called, "before": None, "dry_run": dry_run}
    session.ui.item("nlctl.context.change/v1", item, "", name=called)
    return Exit.OK


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Fault(UNREADABLE, f"{file} cannot be read", why=str(error), fixes=[fix("give a file")]) from error

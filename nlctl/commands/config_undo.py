"""`nlctl config undo`: bring files back to what they were before nlctl changed them."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl.exits import Exit
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl config undo                        the latest edit
  nlctl config undo 20261126T140903-4121   this one
  nlctl config undo --dry-run
\b
Exit status: 0 undone, 3 no such edit, or the file was changed since
"""


def command(
    ctx: typer.Context,
    edit: Annotated[str, typer.Argument(help="The id that the edit was told with; the latest if none.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say which files.")] = False,
) -> int:
    """Undo what `config edit`, `config migrate`, `config validate --fix` or `bazelrc --write` wrote, byte for byte."""
    from nlctl import configs

    session: Session = ctx.obj
    known = configs.edits(session)
    id_ = edit or (known[0] if known else "")
    files = [str(path) for path in configs.undo(session, id_, dry_run=dry_run)]
    text = "\n".join(f"{'would restore' if dry_run else 'restored'} {path}" for path in files)
    session.ui.item("nlctl.config.undo/v1", {"id": id_, "dry_run": dry_run, "files": files}, text, name=id_)
    return Exit.OK

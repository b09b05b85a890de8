"""`nlctl man`: the manual page of a command, shown by man(1), and all of them written for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from nlctl import pages
from nlctl.exits import Exit
from nlctl.faults import UNKNOWN_PAGE, UNREADABLE, Fault, fix
from nlctl.launch.ledger import write
from nlctl.session import Session
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl man cas get
  nlctl man up | man -l -
  nlctl man --install ~/.local/share/man      for `man nlctl-cas-get`
\b
Exit status: 0 shown or written, 2 cannot write there, 3 there is no such page
"""
_COLUMNS = (Column("PAGE", "page"), Column("PATH", "path"))


def command(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="COMMAND", help="A command; none for nlctl(1).")] = None,
    install: Annotated[Path | None, typer.Option(help="Write every page below this directory.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="With --install: only tell what.")] = False,
) -> int:
    """Show the manual page of a command: by man on a terminal, as its source in a pipe."""
    session: Session = ctx.obj
    if install is not None:
        return _install(session, install, dry_run=dry_run)
    name = "-".join(("nlctl", *(words or ())))
    text = pages.read(pages.MAN, name)
    if text is None:
        raise Fault(
            UNKNOWN_PAGE, f"there is no page {name!r}", fixes=[fix("see every command", "nlctl", "help", "all")]
        )
    if session.ui.out_is_terminal and not session.ui.structured and (viewer := shutil.which("man")):
        return subprocess.run([viewer, "-l", "-"], input=text, text=True, check=False).returncode and Exit.INTERNAL
    session.ui.item("nlctl.man/v1", {"page": name, "source": text}, text, name=name)
    return Exit.OK


def _install(session: Session, folder: Path, *, dry_run: bool) -> int:
    rows = [{"page": name, "path": str(folder / "man1" / f"{name}.1")} for name in pages.names(pages.MAN)]
    try:
        for row in () if dry_run else rows:
            path = Path(row["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, pages.read(pages.MAN, row["page"]) or "")
    except OSError as error:
        reason = error.strerror or str(error)
        raise Fault(
            UNREADABLE, f"{folder} cannot be written", why=reason, fixes=[fix("check the directory")]
        ) from error
    session.ui.items("nlctl.man.pages/v1", rows, _COLUMNS, facts={"dry_run": dry_run})
    return Exit.OK

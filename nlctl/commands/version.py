"""`nlctl version`: this tool, the machine, and the parts that run."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from nlserver.errors import Error

from nlctl import VERSION
from nlctl.exits import Exit
from nlctl.faults import Fault
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl version
  nlctl version -o json | jq '.item.parts'
\b
Exit status: 0
"""


def command(ctx: typer.Context) -> int:
    """Show the versions of nlctl, Python and the system, and of the parts of the cluster that runs here."""
    session: Session = ctx.obj
    machine = os.uname()
    item: dict[str, Any] = {
        "nlctl": VERSION,
        "python": platform.python_version(),
        "system": f"{machine.sysname.lower()} {machine.machine}",
        "reapi": {"low": "2.0", "high": "2.3"},
        "parts": _parts(session),
    }
    text = f"nlctl {VERSION}  python {item['python']}  {item['system']}  REAPI 2.0-2.3"
    session.ui.item("nlctl.version/v1", item, "\n".join([text, *_together(item["parts"] or [])]), name=VERSION)
    return Exit.OK


def _parts(session: Session) -> list[dict[str, Any]] | None:
    """What each part runs, None of one that gives no answer; None where no cluster runs here."""
    try:
        sockets = session.sockets()
    except Fault:
        return None
    return [{"name": name, "version": _version(socket)} for name, socket in sockets.items()]


def _version(socket: str) -> str | None:
    from nlctl import admin

    try:
        return admin.part(socket).version
    except Error:
        return None


def _together(parts: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A line for each version, with the parts that run it; more than one is remarkable."""
    names: dict[str, list[str]] = {}
    for one in parts:
        names.setdefault(one["version"] or "no answer", []).append(one["name"])
    for version, those in names.items():
        yield f"{'! ' if len(names) > 1 else ''}{version}  {', '.join(those)}"

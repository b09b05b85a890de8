"""`nlctl version`: this tool, the machine, and the parts that run."""

from __future__ import annotations

import os
import platform

import typer

from nlctl import VERSION
from nlctl.exits import Exit
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl version
  nlctl version -o json
\b
Exit status: 0
"""


def command(ctx: typer.Context) -> int:
    """Show the versions of nlctl, Python and the system."""
    session: Session = ctx.obj
    machine = os.uname()
    item = {
        "nlctl": VERSION,
        "python": platform.python_version(),
        "system": f"{machine.sysname.lower()} {machine.machine}",
        "reapi": {"low": "2.0", "high": "2.3"},
    }
    text = f"nlctl {VERSION}  python {item['python']}  {item['system']}  REAPI 2.0-2.3"
    session.ui.item("nlctl.version/v1", item, text, name=VERSION)
    return Exit.OK

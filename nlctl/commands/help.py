"""`nlctl help`: topics, the pages of commands, and the schemas of documents."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl import topics
from nlctl.exits import Exit
from nlctl.faults import UNKNOWN_PAGE, Fault, fix
from nlctl.registry import COMMANDS
from nlctl.session import Session
from nlctl.spelling import nearest

EPILOG = """\b
Examples:
  nlctl help                      every topic
  nlctl help exit-codes
  nlctl help cas get
  nlctl help schema workers       the JSON Schema of nlctl.workers/v1
  nlctl help all                  every command in a line
\b
Exit status: 0 shown, 3 there is no such page
"""


def command(
    ctx: typer.Context,
    topic: Annotated[
        list[str] | None, typer.Argument(help="A topic, a command, or schema NAME; none for a list.")
    ] = None,
) -> int:
    """Show a topic, the help of a command, or the schema of a document. It needs neither a cluster nor a network."""
    session: Session = ctx.obj
    words = topic or []
    text = topics.text(words)
    if text is None:
        raise _unknown(words)
    session.ui.item("nlctl.help/v1", {"help": text}, text, name=" ".join(words))
    return Exit.OK


def _unknown(words: list[str]) -> Fault:
    known = [*topics.names(), *(" ".join(path) for path in COMMANDS)]
    near = [fix("did you mean this?", "nlctl", "help", *one.split()) for one in nearest(" ".join(words), known)]
    return Fault(
        UNKNOWN_PAGE,
        f"there is no help on {' '.join(words)!r}",
        why=f"topics are: {', '.join(topics.names())}",
        fixes=[*near, fix("see all", "nlctl", "help")],
    )

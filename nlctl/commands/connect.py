"""`nlctl connect`: what a build client needs to use this cluster."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl connect bazel
  nlctl connect buildstream -q > buildstream.conf     only the file
  nlctl --endpoint grpc://cache.corp:50051 --instance main connect buck2
  eval "$(nlctl connect recc -q)"                     only the variables
\b
Exit status: 0 shown, 2 no such client, 4 no cluster is running
"""


def command(
    ctx: typer.Context,
    client: Annotated[str, typer.Argument(help="bazel, buck2, recc, pants, buildstream, reclient, siso or moon.")],
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show the exact flags, variables or file that make a client use this cluster, or the server of --endpoint."""
    from nlctl import clients

    session: Session = ctx.obj
    if client not in clients.NAMES:
        raise Fault(
            USAGE,
            f"there is nothing to tell of a client {client!r}",
            fixes=[fix(f"choose one of {', '.join(clients.NAMES)}"), fix("any client", "nlctl", "context", "show")],
        )
    made = clients.client(client, session.server(name))
    variables = [f"export {variable}={shlex.quote(value)}" for variable, value in made.environment.items()]
    bare = made.text or "\n".join(variables or made.arguments)
    head = [f"# {made.file}"] if made.file else []
    text = "\n".join([*head, bare.rstrip("\n")])
    item = {
        "client": made.name,
        "arguments": list(made.arguments),
        "environment": made.environment,
        "file": made.file or None,
        "text": made.text or None,
        "command": made.command,
        "notes": list(made.notes),
    }
    session.ui.item("nlctl.connect/v1", item, text, name=bare.rstrip("\n"))
    session.ui.say(f"Then    {made.command}")
    for note in made.notes:
        session.ui.say(f"Note    {note}")
    return Exit.OK

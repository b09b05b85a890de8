"""`nlctl ac ls`: the actions that have a result."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from nlserver.reapi.digest import Function

from nlctl.exits import Exit
from nlctl.faults import fix
from nlctl.layers import listed
from nlctl.recents import as_json
from nlctl.session import Session
from nlctl.ui import Column, human_ago, human_bytes, stamp

EPILOG = """\b
Examples:
  nlctl ac ls
  nlctl ac ls 44f1 -q | xargs -n1 nlctl ac check
\b
Exit status: 0 listed, 3 no such store, 4 no cluster is running, 10 this server cannot list
"""
_COLUMNS = (
    Column("ACTION", "action"),
    Column("SIZE", "size_bytes", human_bytes),
    Column("USED", "used", human_ago),
)


def command(
    ctx: typer.Context,
    prefix: Annotated[str, typer.Argument(help="Only actions whose hash begins so.")] = "",
    store: Annotated[str, typer.Option(help="PART:STORE/LAYER; the action cache.")] = "",
    limit: Annotated[int, typer.Option(help="The most to list; 0 for all.", min=0)] = 0,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """List the actions whose results are stored, in no order, with the size of each result.

    The Remote Execution API has no listing: this needs the admin service.
    """
    session: Session = ctx.obj
    instead = fix("ask for one", "nlctl", "ac", "get", "@last")
    layer, found = listed(session.parts(name, instead=instead), "ac", store, prefix, limit)
    rows: list[dict[str, Any]] = [
        {"action": as_json(digest), "size_bytes": one.size_bytes, "used": stamp(one.used)}
        for one in found
        if (digest := one.digest(Function.SHA256)) is not None
    ]
    session.ui.items("nlctl.ac.ls/v1", rows, _COLUMNS, facts={"store": layer.name}, none=f"{layer.name} holds none")
    return Exit.OK

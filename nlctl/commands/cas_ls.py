"""`nlctl cas ls`: what a store of this cluster holds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.faults import fix
from nlctl.layers import listed
from nlctl.session import Session
from nlctl.ui import Column, human_ago, human_bytes, short_key, stamp

EPILOG = """\b
Examples:
  nlctl cas ls
  nlctl cas ls 7fd2 --store worker-1:WORKER_CAS/fast
  nlctl cas ls -o json | jq '.items | length'
\b
Exit status: 0 listed, 3 no such store, 4 no cluster is running, 10 this server cannot list
"""
_COLUMNS = (
    Column("KEY", "key", short_key),
    Column("SIZE", "size_bytes", human_bytes),
    Column("USED", "used", human_ago),
)


def command(
    ctx: typer.Context,
    prefix: Annotated[str, typer.Argument(help="Only keys that begin so: the first digits of a hash.")] = "",
    store: Annotated[str, typer.Option(help="PART:STORE/LAYER, as `nlctl cas why` shows them.")] = "",
    limit: Annotated[int, typer.Option(help="The most keys to list; 0 for all.", min=0)] = 0,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """List what a store holds, in no order: the CAS of this cluster unless another store is named.

    The Remote Execution API has no listing, so this needs a cluster that nlctl started.
    """
    session: Session = ctx.obj
    instead = fix("ask for blobs that you know", "nlctl", "cas", "missing", "-")
    layer, found = listed(session.parts(name, instead=instead), "cas", store, prefix, limit)
    rows: list[dict[str, Any]] = [
        {"key": one.key, "size_bytes": one.size_bytes, "used": stamp(one.used)} for one in found
    ]
    session.ui.items("nlctl.cas.ls/v1", rows, _COLUMNS, facts={"store": layer.name}, none=f"{layer.name} holds none")
    return Exit.OK

"""`nlctl cas du`: how much the stores hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.faults import fix
from nlctl.layers import Layer, layers
from nlctl.session import Session
from nlctl.ui import Column, human_bytes

EPILOG = """\b
Examples:
  nlctl cas du
  nlctl cas du -o json | jq '.items[] | select(.used_ratio > 0.9)'
\b
Exit status: 0 told, 4 no cluster is running, 10 this server cannot tell
"""
_COLUMNS = (
    Column("STORE", "store"),
    Column("KIND", "kind"),
    Column("FOR", "roles"),
    Column("VALUES", "values"),
    Column("SIZE", "size_bytes", human_bytes),
    Column("LIMIT", "max_bytes", human_bytes),
    Column("FULL", "used_ratio", lambda ratio: "-" if ratio is None else f"{ratio:.0%}"),
)


def command(ctx: typer.Context, name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "") -> int:
    """Tell how much each store that counts holds, and how much it may.

    The Remote Execution API does not tell: this needs the admin service. A directory that several parts share is
    shown once for each of them, and counted once.
    """
    session: Session = ctx.obj
    instead = fix("count what an object leads to", "nlctl", "cas", "tree", "@last", "--depth", "0")
    known = [one for one in layers(session.parts(name, instead=instead)) if one.values is not None]
    total = sum(one.size_bytes or 0 for one in _distinct(known))
    session.ui.items("nlctl.cas.du/v1", map(_row, known), _COLUMNS, facts={"size_bytes": total})
    session.ui.say(f"{human_bytes(total)} in {len(_distinct(known))} stores")
    return Exit.OK


def _distinct(known: Sequence[Layer]) -> list[Layer]:
    """Each directory once; what is no directory belongs to its part alone."""
    return list({one.facts.get("content_path", one.name): one for one in known}.values())


def _row(layer: Layer) -> dict[str, Any]:
    size, limit = layer.size_bytes, layer.max_bytes or None
    return {
        "store": layer.name,
        "kind": layer.kind,
        "roles": list(layer.roles),
        "directory": layer.facts.get("content_path"),
        "values": layer.values,
        "size_bytes": size,
        "max_bytes": limit,
        "used_ratio": round(size / limit, 4) if limit and size is not None else None,
    }

"""`nlctl cas why`: where a blob is, and where it should be and is not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from nlserver.reapi.digest import Function

from nlctl.exits import Exit
from nlctl.layers import Sighting, trace
from nlctl.recents import as_json
from nlctl.resolve import single
from nlctl.session import Session
from nlctl.ui import Column, human_bytes, stamp

EPILOG = """\b
Examples:
  nlctl cas why 7fd25e01
  nlctl cas why @last.stdout
  nlctl cas why - < error.txt     any text that names the blob
\b
Exit status: 0 it is somewhere, 2 no digest in the text, 3 it is nowhere, 4 no cluster is running
"""
_COLUMNS = (
    Column("PART", "part"),
    Column("STORE", "path"),
    Column("KIND", "kind"),
    Column("STATE", "state"),
    Column("HOLDS", "size_bytes", human_bytes),
    Column("NOTE", "note"),
)


def command(
    ctx: typer.Context,
    digest: Annotated[str, typer.Argument(help="HASH/SIZE, first digits, @last, file:PATH, any text, or -.")],
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Trace a blob through every layer of every store of every part: present, absent, evicted when and why, or silent.

    Each layer is asked by itself, so that a blob that is in a worker's fast tier and not in the CAS shows.
    """
    session: Session = ctx.obj
    wanted = single(session, digest, Function.BLAKE3 if blake3 else Function.SHA256)
    found = trace(session.sockets(name), wanted)
    rows = [_row(one) for one in found]
    session.ui.items("nlctl.cas.why/v1", rows, _COLUMNS, facts={"digest": as_json(wanted)})
    session.ui.say(_summary(found))
    return Exit.OK if any(one.state == "present" for one in found) else Exit.NOT_FOUND


def _row(sighting: Sighting) -> dict[str, Any]:
    evicted = sighting.evicted
    return {
        "part": sighting.part,
        "path": sighting.path or None,
        "kind": sighting.kind or None,
        "state": sighting.state,
        "size_bytes": sighting.size_bytes if sighting.state == "present" else None,
        "note": _note(sighting) or None,
        "message": sighting.message or None,
        "evicted": evicted
        and {"when": stamp(evicted.when), "limit": evicted.limit, "unused_seconds": round(evicted.unused_seconds, 3)},
    }


def _note(sighting: Sighting) -> str:
    if sighting.evicted is None:
        return sighting.message
    when = datetime.fromtimestamp(sighting.evicted.when, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    back = "; it came back since" if sighting.state == "present" else ""
    return f"evicted {when} by {sighting.evicted.limit}{back}"


def _summary(found: Sequence[Sighting]) -> str:
    here = [one for one in found if one.state == "present"]
    silent = sum(one.state == "unreachable" for one in found)
    said = f"present in {len(here)} of {len(found)} layers"
    if not here:
        gone = [one for one in found if one.evicted is not None]
        said += f"; last seen in {gone[-1].part}: {_note(gone[-1])}" if gone else ", and no store has evicted it"
    return said + (f"; {silent} gave no answer" if silent else "")

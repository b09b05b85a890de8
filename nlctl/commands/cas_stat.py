"""`nlctl cas stat`: which blobs are there, and in which tiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import fix
from nlctl.presence import missing
from nlctl.recents import as_json
from nlctl.resolve import digests
from nlctl.session import Session
from nlctl.ui import Column, human_bytes

EPILOG = """\b
Examples:
  nlctl cas stat 7fd25e01
  nlctl cas stat @last.stdout --tiers
  bazel build //... 2>&1 | nlctl cas stat -
\b
Exit status: 0 all are there, 2 no digest in the text, 3 some are missing, 4 unreachable,
10 --tiers needs the admin service
"""


def command(
    ctx: typer.Context,
    digest: Annotated[list[str], typer.Argument(help="HASH/SIZE, first digits, @last, file:PATH, any text, or -.")],
    tiers: Annotated[bool, typer.Option("--tiers", help="Ask every part, too, for what it holds itself.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Tell of each digest whether the CAS has its blob. The digests are taken out of any text, such as an error.

    With --tiers, and on a terminal where that is possible, there is a column for every part: whether one of its own
    stores holds the blob.
    """
    session: Session = ctx.obj
    wanted = digests(session, digest, Function.BLAKE3 if blake3 else Function.SHA256)
    target = session.target()
    absent = missing(session, target, wanted)
    # A person is shown the tiers unasked where there are any; scripts get what costs one call.
    shows = session.ui.out_is_terminal and session.ui.format == "table" and bool(target.cluster or target.admin)
    seen = _tiers(session, wanted) if tiers or shows else None
    rows: list[dict[str, Any]] = [
        {
            "digest": as_json(one),
            "size_bytes": one.size_bytes,
            "present": one not in absent,
            "tiers": None if seen is None else seen[one],
        }
        for one in wanted
    ]
    _show(session, rows, list(next(iter(seen.values()))) if seen else [])
    if absent:
        session.ui.say(f"{len(absent)} of {len(wanted)} missing")
    return Exit.NOT_FOUND if absent else Exit.OK


def _show(session: Session, rows: Sequence[dict[str, Any]], parts: Sequence[str]) -> None:
    columns = [Column("DIGEST", "digest"), Column("PRESENT", "present")]
    if session.ui.structured or not parts:
        session.ui.items("nlctl.cas.stat/v1", rows, columns)
        return
    columns.insert(1, Column("SIZE", "size_bytes", human_bytes))
    columns += [Column(part.upper(), part) for part in parts]
    session.ui.items("nlctl.cas.stat/v1", [{**row, **row["tiers"]} for row in rows], columns)


def _tiers(session: Session, wanted: Sequence[Digest]) -> Mapping[Digest, dict[str, bool | None]]:
    """For each blob and part whether a store of its own has it; None where the part gave no answer."""
    from nlctl import layers

    parts = session.parts(instead=fix("ask the server as its clients do: leave --tiers out"))
    roles = {one.name: one.roles for one in layers.layers(parts)}
    return {digest: _of(layers.trace(parts, digest), list(parts), roles) for digest in wanted}


def _of(sightings: Sequence[Any], parts: Sequence[str], roles: Mapping[str, tuple[str, ...]]) -> dict[str, bool | None]:
    found: dict[str, bool | None] = dict.fromkeys(parts, False)
    remote = {(one.part, one.path) for one in sightings if one.kind in ("grpc", "ref_store")}
    above = {(part, path[: path.rfind("/")]) for part, path in remote if "/" in path}
    for one in sightings:
        if one.state == "unreachable" and not one.path:
            found[one.part] = None
        elif "cas" not in roles.get(f"{one.part}:{one.path}", ()) or (one.part, one.path) in remote | above:
            continue
        elif one.state == "present":
            found[one.part] = True
    return found

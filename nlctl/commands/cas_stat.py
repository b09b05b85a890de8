"""`nlctl cas stat`: which blobs are there, and in which tiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from nlserver.errors import Error
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import Fault, fix
from nlctl.presence import missing
from nlctl.recents import as_json
from nlctl.resolve import digests
from nlctl.session import Session, Target
from nlctl.ui import Column, human_ago, human_bytes, stamp

if TYPE_CHECKING:
    from nlctl.uses import Uses

EPILOG = """\b
Examples:
  nlctl cas stat 7fd25e01
  nlctl cas stat @last.stdout --tiers
  bazel build //... 2>&1 | nlctl cas stat -
\b
Exit status: 0 all are there, 2 no digest in the text, 3 some are missing, 4 unreachable,
10 --tiers needs the admin service
"""
_INSTEAD: Final = fix("ask the server as its clients do: leave --tiers out")


def command(
    ctx: typer.Context,
    digest: Annotated[list[str], typer.Argument(help="HASH/SIZE, first digits, @last, file:PATH, any text, or -.")],
    tiers: Annotated[bool, typer.Option("--tiers", help="Ask every part, too, for what it holds itself.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Tell of each digest whether the CAS has its blob. The digests are taken out of any text, such as an error.

    With --tiers, and on a terminal where that is possible, there is a column for every part, whether one of its own
    stores holds the blob, and what the blob is, when the CAS used it last, and how many results of actions name it.
    """
    session: Session = ctx.obj
    wanted = digests(session, digest, Function.BLAKE3 if blake3 else Function.SHA256)
    target = session.target()
    # A person is shown more unasked where it can be known; scripts get what costs one call.
    shows = session.ui.out_is_terminal and session.ui.format == "table" and bool(target.cluster or target.admin)
    looks = tiers or shows
    parts = session.parts(instead=_INSTEAD) if looks else {}
    # Before anything else: whoever asks for a blob uses it.
    used = _used(parts, wanted) if looks else {}
    absent = missing(session, target, wanted)
    seen = _tiers(parts, wanted) if looks else None
    named = _named(parts, wanted) if looks else None
    kinds = session.wait_for(_kinds(target, [one for one in wanted if one not in absent])) if looks else {}
    rows: list[dict[str, Any]] = [
        {
            "digest": as_json(one),
            "size_bytes": one.size_bytes,
            "present": one not in absent,
            "type": kinds.get(one),
            "used": used.get(one),
            "used_by": named.results[one] if named else None,
            "tiers": None if seen is None else seen[one],
        }
        for one in wanted
    ]
    few = [f"USED BY counts {named.looked_into} results; there are more"] if named and not named.complete else []
    _show(session, rows, list(next(iter(seen.values()))) if seen else [], few)
    if absent:
        session.ui.say(f"{len(absent)} of {len(wanted)} missing")
    return Exit.NOT_FOUND if absent else Exit.OK


def _show(session: Session, rows: Sequence[dict[str, Any]], parts: Sequence[str], warnings: Sequence[str]) -> None:
    columns = [Column("DIGEST", "digest"), Column("PRESENT", "present")]
    if session.ui.structured or not parts:
        session.ui.items("nlctl.cas.stat/v1", rows, columns, warnings=warnings)
        return
    columns[1:1] = [Column("SIZE", "size_bytes", human_bytes), Column("TYPE", "type")]
    # As many workers as a terminal has room for; a scheduler comes last, for it holds results alone.
    ordered = sorted(parts, key=lambda part: part == "scheduler")
    columns += [Column(part.upper().replace("WORKER-", "W"), part, spare=part != "cas") for part in ordered]
    columns += [Column("USED", "used", human_ago), Column("USED BY", "used_by", _results)]
    session.ui.items("nlctl.cas.stat/v1", [{**row, **row["tiers"]} for row in rows], columns, warnings=warnings)


def _results(count: int | None) -> str:
    return f"{count} result{'' if count == 1 else 's'}" if count else "-"


def _named(parts: Mapping[str, str], wanted: Sequence[Digest]) -> Uses | None:
    """Which results name these blobs; None where the action cache cannot be listed."""
    from nlctl.uses import uses

    try:
        return uses(parts, wanted)
    except (Fault, Error):
        return None


def _tiers(parts: Mapping[str, str], wanted: Sequence[Digest]) -> Mapping[Digest, dict[str, bool | None]]:
    """For each blob and part whether a store of its own has it; None where the part gave no answer."""
    from nlctl import layers

    roles = {one.name: one.roles for one in layers.layers(parts)}
    return {digest: _of(layers.trace(parts, digest), list(parts), roles) for digest in wanted}


async def _kinds(target: Target, wanted: Sequence[Digest]) -> dict[Digest, str]:
    """What these blobs are, as far as they are small enough to be looked into."""
    from nlserver.store import Missing

    from nlctl.decoded import guessed
    from nlctl.objects import MOST_GUESSED_BYTES
    from nlctl.remote import client

    found = {}
    async with client(target) as remote:
        for one in wanted:
            if one.size_bytes <= MOST_GUESSED_BYTES:
                # It may go meanwhile.
                with suppress(Missing):
                    found[one] = str(guessed(await remote.read(one), one.function))
    return found


def _used(parts: Mapping[str, str], wanted: Sequence[Digest]) -> dict[Digest, str | None]:
    """When the CAS used these blobs last, where its store can list."""
    from nlctl import layers

    found: dict[Digest, str | None] = {}
    for one in wanted:
        with suppress(Fault):
            _, entries = layers.listed(parts, "cas", "", str(one), 1)
            found[one] = stamp(entries[0].used) if entries else None
    return found


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

"""`nlctl ac check`: whether everything that a result names is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import DANGLING, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import single
from nlctl.session import Session
from nlctl.ui import Column

if TYPE_CHECKING:
    from nlctl.objects import Part
    from nlctl.results import Held

EPILOG = """\b
Examples:
  nlctl ac check @last
  nlctl ac check 44f1c2aa -o json | jq '.items[] | select(.present | not)'
\b
Exit status: 0 all is there, 2 no digest in the text, 3 something is missing or there is no result, 4 unreachable
"""
_COLUMNS = (Column("DIGEST", "digest"), Column("ROLE", "role"), Column("PATH", "path"))
_SHOWN = 5


def command(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(help="The Action: HASH/SIZE, first digits, @last, any text, or -.")],
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Look for every output of an action's result, stdout and stderr, and the files inside its output directories.

    What is missing is listed; -o json lists all. A result that the server hides because outputs are gone is looked
    up behind it, on a cluster that nlctl started.
    """
    session: Session = ctx.obj
    wanted = single(session, action, Function.BLAKE3 if blake3 else Function.SHA256)
    held, found, gone = session.wait_for(_checked(session, wanted))
    missing = set(gone)
    rows = [_row(one, present=one not in missing) for one in (found if session.ui.structured else gone)]
    facts = {"action": as_json(wanted), "layer": held.layer, "checked": len(found), "missing": len(gone)}
    session.ui.items("nlctl.ac.check/v1", rows, _COLUMNS, facts=facts)
    if gone:
        raise _dangling(wanted, gone)
    session.ui.say(f"all of {len(found)} blobs are there" if found else "the result names no blobs")
    return Exit.OK


async def _checked(session: Session, wanted: Digest) -> tuple[Held, Sequence[Part], Sequence[Part]]:
    from nlctl import objects, results
    from nlctl.remote import client

    target = session.target()
    async with client(target, wanted.function) as remote:
        held = await results.of_action(session, target, remote, wanted)
        found = await objects.parts(remote, held.result, wanted.function)
        return held, found, await objects.absent(remote, found)


def _row(part: Part, *, present: bool) -> dict[str, Any]:
    return {"digest": as_json(part.digest), "role": part.role, "path": part.path, "present": present}


def _dangling(action: Digest, gone: Sequence[Part]) -> Fault:
    name = action.written
    shown = ", ".join(
        f"{one.path or one.role} ({one.digest.hash[:8]}…/{one.digest.size_bytes})" for one in gone[:_SHOWN]
    )
    more = f", and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
    return Fault(
        DANGLING,
        f"the result of action {name} names {len(gone)} missing blobs"
        if len(gone) > 1
        else f"the result of action {name} names a missing blob",
        why=shown + more,
        fixes=[
            fix("forget the result: the next build runs it again", "nlctl", "ac", "rm", name),
            fix("see which store lost it", "nlctl", "cas", "why", gone[0].digest.written),
        ],
    )

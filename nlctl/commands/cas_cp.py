"""`nlctl cas cp`: objects into another CAS, with everything that they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import BLOB_MISSING, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import digests
from nlctl.session import Session, Target
from nlctl.ui import Column, human_bytes

if TYPE_CHECKING:
    from nlserver.reapi.client import Client

    from nlctl.transfer import Copied

EPILOG = """\b
Examples:
  nlctl cas cp @last --to ci                         an Action with its command and inputs
  nlctl cas cp @last --to ci --result                and its result with all outputs
  nlctl cas cp 9a7e0f21 --to grpc://10.0.0.9:50051 --dry-run
\b
Exit status: 0 all is there, 2 bad arguments, 3 something is missing here, 4 unreachable, 9 damaged
"""
_COLUMNS = (
    Column("DIGEST", "digest"),
    Column("BLOBS", "blobs"),
    Column("COPIED", "copied"),
    Column("BYTES", "copied_bytes", human_bytes),
    Column("LOST", "lost"),
)


def command(
    ctx: typer.Context,
    digest: Annotated[list[str], typer.Argument(help="HASH/SIZE, first digits, @last, any text, or -.")],
    to: Annotated[str, typer.Option(help="A context, or the URL of a CAS.")],
    to_instance: Annotated[str | None, typer.Option(help="The instance name there.")] = None,
    result: Annotated[bool, typer.Option("--result", help="Of an Action also its result, with all outputs.")] = False,
    alone: Annotated[bool, typer.Option("--alone", help="Only these blobs, not what they lead to.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only ask what is missing there.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Copy blobs to another server; of an Action, Directory or Tree everything that it leads to.

    The other server is asked first, and only what it lacks travels, verified on both sides. Files go before the
    messages that name them, so that nobody there sees half an object.
    """
    session: Session = ctx.obj
    function = Function.BLAKE3 if blake3 else Function.SHA256
    wanted = digests(session, digest, function)
    there = session.elsewhere(to, to_instance)
    rows = session.wait_for(_copied(session, wanted, there, result=result, alone=alone, dry=dry_run))
    lost = [one for row in rows for one in row["lost_digests"]]
    shown = [{key: value for key, value in row.items() if key != "lost_digests"} for row in rows]
    session.ui.items("nlctl.cas.cp/v1", shown, _COLUMNS, facts={"to": there.cas, "dry_run": dry_run})
    sent, blobs = sum(row["copied_bytes"] for row in rows), sum(row["copied"] for row in rows)
    session.ui.say(f"{'would copy' if dry_run else 'copied'} {blobs} blobs, {human_bytes(sent)}, to {there.cas}")
    if lost:
        raise _incomplete(lost)
    return Exit.OK


async def _copied(
    session: Session, wanted: Sequence[Digest], there: Target, *, result: bool, alone: bool, dry: bool
) -> list[dict[str, Any]]:
    from nlctl.remote import client
    from nlctl.transfer import copy

    rows = []
    async with client(session.target(), wanted[0].function) as source, client(there, wanted[0].function) as destination:
        for digest in wanted:

            def progress(done: Copied) -> None:
                session.ui.waiting(f"{len(done.copied) + done.present} of {done.blobs} blobs")

            found = await _closure(source, digest, result=result, alone=alone)
            done = await copy(source, destination, found, progress, dry=dry)
            if result and not dry and not done.lost:
                await _result(source, destination, digest)
            rows.append(_row(digest, done))
    return rows


async def _closure(source: Client, digest: Digest, *, result: bool, alone: bool) -> Any:
    from nlctl import objects

    if alone:
        return objects.Closure((), (digest,), frozenset())
    found = await objects.closure(source, digest)
    if result and (held := await source.action_result(digest)) is not None:
        parts = [one.digest for one in await objects.parts(source, held, digest.function)]
        found = objects.Closure((*found.files, *parts), found.messages, found.absent)
    return found


async def _result(source: Client, destination: Client, action: Digest) -> None:
    held = await source.action_result(action)
    if held is not None:
        await destination.update_action_result(action, held)


def _row(digest: Digest, done: Copied) -> dict[str, Any]:
    return {
        "digest": as_json(digest),
        "blobs": done.blobs,
        "present": done.present,
        "copied": len(done.copied),
        "copied_bytes": done.copied_bytes,
        "lost": len(done.lost),
        "lost_digests": list(done.lost),
    }


def _incomplete(lost: Sequence[Digest]) -> Fault:
    name = lost[0].written
    return Fault(
        BLOB_MISSING,
        f"{len(lost)} blobs are missing here" if len(lost) > 1 else f"{name} is missing here",
        why="what was there was copied",
        fixes=[fix("see which store lost it", "nlctl", "cas", "why", name)],
    )

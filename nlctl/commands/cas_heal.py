"""`nlctl cas heal`: bring back what the CAS lost from where it still is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import BLOB_MISSING, INCOMPLETE, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import digests
from nlctl.session import Session
from nlctl.ui import Column, human_bytes

if TYPE_CHECKING:
    from nlserver.reapi.client import Client

    from nlctl.healing import Healed

EPILOG = """\b
Examples:
  nlctl cas heal 7fd25e01 --dry-run
  nlctl cas heal --closure @last             an action with its command and inputs
  nlctl cas heal 7fd25e01 --from ci          from another cluster
\b
Exit status: 0 all is there, 2 no digest in the text, 3 it is nowhere, 4 unreachable, 10 no layers can be read here,
11 some are nowhere
"""
_COLUMNS = (
    Column("DIGEST", "digest"),
    Column("STATE", "state"),
    Column("SIZE", "size_bytes", human_bytes),
    Column("FROM", "source"),
)
_Step = Callable[[Sequence[Digest]], Awaitable["list[Healed]"]]


def command(
    ctx: typer.Context,
    digest: Annotated[list[str], typer.Argument(help="HASH/SIZE, first digits, @last, any text, or -.")],
    closure: Annotated[bool, typer.Option("--closure", help="And everything that they lead to.")] = False,
    source: Annotated[
        str, typer.Option("--from", help="A layer PART:STORE/LAYER, a context, or the URL of a CAS.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show where they would come from.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Copy blobs that the CAS lacks back into it, verified, from the tiers of workers or from another server.

    What it has is left alone. In a dry run what a missing Directory leads to is not known.
    """
    session: Session = ctx.obj
    wanted = digests(session, digest, Function.BLAKE3 if blake3 else Function.SHA256)
    done = session.wait_for(_healed(session, wanted, source, closure=closure, dry=dry_run))
    there = [one for one in done if one.state == "there"]
    rows = [_row(one) for one in done if one.state != "there"]
    session.ui.items("nlctl.cas.heal/v1", rows, _COLUMNS, facts={"dry_run": dry_run, "there": len(there)})
    lost = [one.digest for one in done if one.state == "lost"]
    came = len(done) - len(there) - len(lost)
    session.ui.say(f"{came} {'would come' if dry_run else 'came'} back, {len(there)} were there, {len(lost)} lost")
    if lost:
        raise _nowhere(lost, partly=bool(came))
    return Exit.OK


async def _healed(session: Session, wanted: Sequence[Digest], source: str, *, closure: bool, dry: bool) -> list[Healed]:
    from nlctl import healing
    from nlctl.remote import client

    def told(one: Healed) -> None:
        session.ui.waiting(f"{one.digest.hash[:8]} {one.state}")

    async with client(session.target(), wanted[0].function) as remote:
        if (source and ":" in source and "://" not in source) or not source:
            instead = fix("name a server that has them", "nlctl", "cas", "heal", "@last", "--from", "CONTEXT")
            layers = healing.Layers(session.parts(instead=instead), source)
            return await _all(
                remote, wanted, lambda row: healing.from_layers(remote, layers, row, told, dry=dry), closure=closure
            )
        there = session.elsewhere(source)
        async with client(there, wanted[0].function) as other:
            return await _all(
                remote,
                wanted,
                lambda row: healing.from_server(remote, other, there.cas, row, told, dry=dry),
                closure=closure,
            )


async def _all(remote: Client, wanted: Sequence[Digest], step: _Step, *, closure: bool) -> list[Healed]:
    """The objects; then what they lead to, level by level: a Directory tells only when it is back."""
    from nlctl import objects

    made = {one.digest: one for one in await step(wanted)}
    if not closure:
        return list(made.values())
    for root in wanted:
        while made[root].state in ("there", "healed"):
            found = await objects.closure(remote, root)
            row = [one for one in found.digests if one not in made]
            if not row:
                break
            made.update((one.digest, one) for one in await step(row))
    return list(made.values())


def _row(one: Healed) -> dict[str, Any]:
    return {
        "digest": as_json(one.digest),
        "state": one.state,
        "size_bytes": one.digest.size_bytes,
        "source": one.source,
    }


def _nowhere(lost: Sequence[Digest], *, partly: bool) -> Fault:
    name = lost[0].written
    return Fault(
        INCOMPLETE if partly else BLOB_MISSING,
        f"{len(lost)} blobs are nowhere" if len(lost) > 1 else f"{name} is nowhere",
        why="no layer that was asked has them",
        fixes=[
            fix("see when it was evicted, and by which limit", "nlctl", "cas", "why", name),
            fix("make it again, or upload it", "nlctl", "cas", "put", "PATH"),
        ],
    )

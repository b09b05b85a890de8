"""`nlctl ops cancel`: end operations for all their clients."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from nlctl import admin
from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.operations import MOST, unknown
from nlctl.session import Session, admin_of

EPILOG = """\b
Examples:
  nlctl ops cancel 6b1f0f6e-8f0a-4a5e-a6a4-3d1c8a5f0f6b
  nlctl ops cancel --invocation 0b1e6f1c-8a51-4c36-9d0f-2f1f0a3d4c5b
  nlctl ops cancel --older-than 10m --dry-run
\b
Exit status: 0 none runs any more, 3 nobody knows it, 4 no cluster is running, 10 cannot cancel here, 11 some unknown
"""


def command(
    ctx: typer.Context,
    operation: Annotated[
        list[str] | None, typer.Argument(help="Ids, as `nlctl ops ls` shows them, or clients' names.")
    ] = None,
    invocation: Annotated[str, typer.Option(help="All that this run of a client asked for first.")] = "",
    older_than: Annotated[str, typer.Option(help="All that were queued longer ago than this: 90s, 10m.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only tell what would be cancelled.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Cancel operations: those that wait leave the queue, those that run are killed, and their clients are told.

    --invocation and --older-than together choose what both mean.
    """
    session: Session = ctx.obj
    chosen = bool(invocation or older_than)
    if chosen == bool(operation):
        raise Fault(
            USAGE,
            "say which operations: ids, or --invocation and --older-than",
            fixes=[fix("see those that are known", "nlctl", "ops", "ls")],
        )
    age = seconds(older_than) if older_than else 0.0
    endpoint = admin_of(session.target(name))
    ids = _chosen(endpoint, invocation, age) if chosen else [one.rpartition("/")[2] for one in operation or ()]
    fates = _as_if(endpoint, ids) if dry_run else admin.cancel(endpoint, ids)
    _tell(session, fates, ids, dry_run=dry_run)
    return Exit.PARTIAL if fates.unknown else Exit.OK


def _chosen(endpoint: str, invocation: str, age_seconds: float) -> list[str]:
    found, _ = admin.operations(endpoint, ("queued", "executing"), MOST, invocation)
    latest = time.time() - age_seconds
    return [one.id for one in found if one.queued <= latest]


def _tell(session: Session, fates: admin.Fates, ids: Sequence[str], *, dry_run: bool) -> None:
    for one in fates.cancelled:
        session.ui.step("cancel", one, f"{one} {'would be ' if dry_run else ''}cancelled", state="cancelled")
    for one in fates.ended:
        session.ui.say(f"{one} had ended already")
    if not ids:
        session.ui.say("no operation is meant: nothing to do")
    if fates.unknown:
        stranger = unknown(fates.unknown[0])
        if len(fates.unknown) == len(ids):
            raise stranger
        session.ui.warn(stranger.message)
    item = {
        "dry_run": dry_run,
        "cancelled": list(fates.cancelled),
        "ended": list(fates.ended),
        "unknown": list(fates.unknown),
    }
    session.ui.item("nlctl.ops.cancel/v1", item, "", name="\n".join(fates.cancelled))


def _as_if(endpoint: str, ids: Sequence[str]) -> admin.Fates:
    known = {one.id: one.stage for one in admin.operations(endpoint, (), MOST)[0]}
    return admin.Fates(
        [one for one in ids if known.get(one) in ("queued", "executing")],
        [one for one in ids if known.get(one) == "completed"],
        [one for one in ids if one not in known],
    )

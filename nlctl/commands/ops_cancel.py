"""`nlctl ops cancel`: end operations for all their clients."""

from __future__ import annotations

from typing import Annotated

import typer

from nlctl import admin
from nlctl.exits import Exit
from nlctl.faults import NO_OPERATION, Fault, fix
from nlctl.session import Session, admin_of

EPILOG = """\b
Examples:
  nlctl ops cancel 6b1f0f6e-8f0a-4a5e-a6a4-3d1c8a5f0f6b
  nlctl ops ls --state queued -q | xargs nlctl ops cancel
\b
Exit status: 0 none runs any more, 3 nobody knows it, 4 no cluster is running, 10 cannot cancel here, 11 some unknown
"""


def command(
    ctx: typer.Context,
    operation: Annotated[list[str], typer.Argument(help="Ids, as `nlctl ops ls` shows them, or clients' names.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only tell what would be cancelled.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Cancel operations: those that wait leave the queue, those that run are killed, and their clients are told."""
    session: Session = ctx.obj
    endpoint = admin_of(session.target(name))
    ids = [one.rpartition("/")[2] for one in operation]
    fates = _as_if(endpoint, ids) if dry_run else admin.cancel(endpoint, ids)
    for one in fates.cancelled:
        session.ui.step("cancel", one, f"{one} {'would be ' if dry_run else ''}cancelled", state="cancelled")
    for one in fates.ended:
        session.ui.say(f"{one} had ended already")
    if fates.unknown:
        unknown = Fault(
            NO_OPERATION,
            f"nobody knows operation {fates.unknown[0]}",
            why=f"{len(fates.unknown)} of {len(ids)} are unknown; finished ones are forgotten after a minute",
            fixes=[fix("see those that are known", "nlctl", "ops", "ls")],
        )
        if len(fates.unknown) == len(ids):
            raise unknown
        session.ui.warn(unknown.message)
    item = {
        "dry_run": dry_run,
        "cancelled": list(fates.cancelled),
        "ended": list(fates.ended),
        "unknown": list(fates.unknown),
    }
    session.ui.item("nlctl.ops.cancel/v1", item, "", name="\n".join(fates.cancelled))
    return Exit.PARTIAL if fates.unknown else Exit.OK


def _as_if(endpoint: str, ids: list[str]) -> admin.Fates:
    known = {one.id: one.stage for one in admin.operations(endpoint, (), 5000)[0]}
    return admin.Fates(
        [one for one in ids if known.get(one) in ("queued", "executing")],
        [one for one in ids if known.get(one) == "completed"],
        [one for one in ids if one not in known],
    )

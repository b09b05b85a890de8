"""`nlctl doctor undo`: take back what a fix changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.session import Session
from nlctl.ui import Column, stamp

if TYPE_CHECKING:
    from nlctl.doctor.change import Change
    from nlctl.doctor.journal import Entry

EPILOG = """\b
Examples:
  nlctl doctor undo --dry-run              what the latest fix changed
  nlctl doctor undo 20261126T140903-4121   this one
  nlctl doctor undo --yes
  nlctl doctor undo --list                 all that can be taken back
\b
Exit status: 0 undone, 2 nobody agreed, 3 no such fix, 4 a part that must do it does not run,
5 not all could be taken back, 7 somebody changed it since, or another command changes the cluster
"""


_COLUMNS = (
    Column("ID", "id"),
    Column("CLUSTER", "cluster"),
    Column("STATUS", "status"),
    Column("CHANGES", "changes", lambda made: "; ".join(one["does"] for one in made)),
)


def command(
    ctx: typer.Context,
    fix: Annotated[str, typer.Argument(help="The id that the fix was told with; the latest if none.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would be taken back.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the fixes that can be taken back.")] = False,
) -> int:
    """Take back what `nlctl doctor --fix` changed, the latest change first: files as they were, byte for byte.

    Also a fix that was interrupted. Nothing is undone when somebody changed one of its files since. Parts whose files
    change are restarted with what those say then.

    A fix that came to its end can be taken back for 30 days, and the latest ten of them for ever.
    """
    from nlctl.doctor.ground import Ground
    from nlctl.doctor.journal import Journal
    from nlctl.doctor.mending import to_undo, undo

    session: Session = ctx.obj
    journal = Journal(session.state)
    if listing:
        rows = [_row(journal.load(id_)) for id_ in ([fix] if fix else journal.ids())]
        session.ui.items("nlctl.doctor.fixes/v1", rows, _COLUMNS)
        return Exit.OK
    entry = journal.load(fix)
    ground = Ground(session, entry.cluster, journal.folder(entry.id))
    changes = to_undo(ground, entry)
    _show(session, entry, changes)
    restarted: list[str] = []
    if not dry_run:
        if changes:
            session.confirm(f"This takes {_count(changes)} back", "undo")
        restarted = undo(ground, entry, changes, lambda one: session.ui.say(f"done: {one.undoes}"))
        journal.forget(entry.id)
    text = "nothing was changed: this was a dry run" if dry_run else f"took fix {entry.id} back"
    session.ui.item("nlctl.doctor.undo/v1", _item(entry, changes, restarted, dry_run=dry_run), text, name=entry.id)
    return Exit.OK


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "made_at": stamp(entry.when),
        "cluster": entry.cluster or None,
        "status": "done" if entry.is_done else "interrupted",
        "changes": [{"kind": one.kind, "does": one.does, "undoes": one.undoes or None} for one in entry.changes],
    }


def _show(session: Session, entry: Entry, changes: list[Change]) -> None:
    if session.ui.structured:
        return
    was = "" if entry.is_done else ", which was interrupted"
    session.ui.say(f"fix {entry.id}{was}: {_count(changes)} to take back")
    for one in changes:
        session.ui.say(f"  ~ {one.undoes}")


def _count(changes: list[Change]) -> str:
    return f"{len(changes)} change{'' if len(changes) == 1 else 's'}"


def _item(entry: Entry, changes: list[Change], restarted: list[str], *, dry_run: bool) -> dict[str, Any]:
    return {
        "id": entry.id,
        "dry_run": dry_run,
        "was_interrupted": not entry.is_done,
        "undone": [{"kind": one.kind, "undoes": one.undoes} for one in changes],
        "stays": [{"kind": one.kind, "does": one.does} for one in entry.changes if one not in changes],
        "restarted": restarted,
    }

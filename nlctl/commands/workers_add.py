"""`nlctl workers add`: more workers for a running cluster, with properties of their own on demand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from nlserver.errors import Error

from nlctl import admin
from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.launch.offers import offers
from nlctl.launch.plan import Sign
from nlctl.launch.reconcile import Asked, Plan, Reconciliation, plan
from nlctl.session import Session
from nlctl.ui import human_properties

EPILOG = """\b
Examples:
  nlctl workers add
  nlctl workers add 2 --property ISA=arm64 --property gpu=1
  nlctl workers add 5 --dry-run
\b
Exit status: 0 added, 2 unconfirmed or no property, 4 no cluster runs, 5 a new one failed, 6 not ready in time, 7 locked
"""


def command(
    ctx: typer.Context,
    count: Annotated[int, typer.Argument(metavar="[N]", help="How many more.", min=1)] = 1,
    properties: Annotated[
        list[str] | None, typer.Option("--property", metavar="NAME=VALUE", help="What the new ones offer; repeatable.")
    ] = None,
    wait_timeout: Annotated[str, typer.Option(help="Longest wait until they are ready.")] = "60s",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show who comes; change nothing.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Add workers to the running cluster; those that there are go on undisturbed. Each new one proves itself first.

    A property replaces what workers offer under its name, and stays with these workers. The scheduler starts anew when
    it does not know the name yet: then what runs is run again, which is asked for first.
    """
    session: Session = ctx.obj
    offered = offers(properties or ())
    ledger, backend = session.running(name)
    with ledger.locked():
        record = ledger.load()
        assert record is not None
        asked = Asked(len(record.workers) + count, wait_seconds=seconds(wait_timeout), offers=offered)
        work = Reconciliation(ledger, session.ui, asked, "add")
        reports = backend.reports()
        made = plan(ledger, asked, reports)
        added = [step.member for step in made.steps if step.sign is Sign.ADD]
        _announce(session, made, added, dry_run=dry_run)
        if not dry_run:
            _confirm(session, made, record.ports.urls[2])
            work.carry_out(made, reports)
    _done(session, made, added, offered, work.seconds, dry_run=dry_run)
    return Exit.OK


def _announce(session: Session, made: Plan, added: Sequence[str], *, dry_run: bool) -> None:
    for note in made.notes:
        session.ui.warn(note)
    will = "would" if dry_run else "will"
    session.ui.say(f"{', '.join(added)} {will} be added")
    if _restarts_scheduler(made):
        session.ui.say(f"the scheduler {will} start anew, to compare the new property")


def _restarts_scheduler(made: Plan) -> bool:
    return any(step.member == "scheduler" and step.sign is Sign.CHANGE for step in made.steps)


def _confirm(session: Session, made: Plan, endpoint: str) -> None:
    if not _restarts_scheduler(made):
        return
    try:
        _, busy = admin.operations(endpoint, ("queued", "executing"), 1)
    except Error:
        return
    if busy:
        session.confirm(f"the scheduler starts anew; {busy} actions that wait or run begin again", made.wish.name)


def _done(
    session: Session,
    made: Plan,
    added: Sequence[str],
    offered: dict[str, list[str]],
    took: float,
    *,
    dry_run: bool,
) -> None:
    if not dry_run:
        has = f" They offer {human_properties(offered)}." if offered else ""
        session.ui.say(f'Cluster "{made.wish.name}" has {len(made.workers)} workers after {took:.1f}s.{has}')
    item: dict[str, Any] = {
        "name": made.wish.name,
        "dry_run": dry_run,
        "workers": made.workers,
        "added": list(added),
        "properties": offered,
        "steps": [{"sign": str(s.sign), "member": s.member, "reason": s.reason} for s in made.steps],
        "took_ms": int(took * 1000),
    }
    session.ui.item("nlctl.workers.add/v1", item, "", name="\n".join(added))

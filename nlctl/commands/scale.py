"""`nlctl scale`: more workers, or fewer, without losing what they run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from nlserver.errors import Code, Error

from nlctl import admin
from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.launch import draining
from nlctl.launch.backend import Backend
from nlctl.launch.plan import Sign
from nlctl.launch.reconcile import Asked, Plan, Reconciliation, plan
from nlctl.launch.roster import Wanted
from nlctl.session import Session
from nlctl.ui import Ui

EPILOG = """\b
Examples:
  nlctl scale 8
  nlctl scale workers=2 --deadline 10m
  nlctl scale 1 --dry-run
\b
Exit status: 0 so many, 2 no number, 4 no cluster runs, 5 a new worker failed, 6 not ready in time, 7 lock held
"""
_SIGN_OFF_SECONDS: Final = 5.0


def command(
    ctx: typer.Context,
    count: Annotated[str, typer.Argument(metavar="N|workers=N", help="How many workers there shall be.")],
    no_drain: Annotated[bool, typer.Option("--no-drain/--drain", help="End workers at once.")] = False,
    deadline: Annotated[str, typer.Option(help="Longest that workers which go may finish what they run.")] = "60s",
    wait_timeout: Annotated[str, typer.Option(help="Longest wait until new ones are ready.")] = "60s",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show who comes or goes; change nothing.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Bring the cluster to so many workers; the others go on undisturbed.

    Idle workers go first, of these the youngest. Each takes no new work and finishes what it runs; what still runs at
    the deadline is given to the workers that stay, so nothing is lost. New workers count once a canary came back.
    """
    session: Session = ctx.obj
    wanted, limit = _number(count), seconds(deadline)
    ledger, backend = session.running(name)
    with ledger.locked():
        record = ledger.load()
        assert record is not None
        admin_at = record.ports.urls[2]
        idle = _idle(admin_at)
        asked = Asked(workers=wanted, idle=idle, wait_seconds=seconds(wait_timeout))
        work = Reconciliation(ledger, session.ui, asked, "scale")
        made = plan(ledger, asked, reports := backend.reports() or [])
        leaving = [step.member for step in made.steps if step.sign is Sign.REMOVE]
        _announce(session, made, leaving, deadline, dry_run=dry_run)
        left, grace = 0, 0.0 if no_drain else _SIGN_OFF_SECONDS
        if leaving and not (dry_run or no_drain):
            staying = {one.name: one.wanted for one in reports}
            try:
                left = _retire(session.ui, backend, admin_at, leaving, staying, time.monotonic() + limit)
            except Error as error:
                if error.code is not Code.UNIMPLEMENTED:
                    raise
                # NativeLink tells nothing of its workers; told to end, they finish what they run.
                grace = limit
        if not made.done and not dry_run:
            work.carry_out(made, backend.reports(), 0.0 if left else grace)
    return _done(session, made, left, work.seconds, dry_run=dry_run)


def _number(text: str) -> int:
    word = text.removeprefix("workers=")
    if not word.isascii() or not word.isdigit():
        raise Fault(USAGE, f"{text!r} is no number of workers", fixes=[fix("write a number", "nlctl", "scale", "3")])
    return int(word)


def _idle(endpoint: str) -> set[str]:
    """The workers that run nothing; nobody's state is known while the scheduler is away."""
    try:
        return {one.name for one in admin.workers(endpoint) if not one.operations}
    except Error:
        return set()


def _announce(session: Session, made: Plan, leaving: Sequence[str], deadline: str, *, dry_run: bool) -> None:
    coming = [step.member for step in made.steps if step.sign is Sign.ADD]
    will = "would" if dry_run else "will"
    if coming:
        session.ui.say(f"{', '.join(coming)} {will} be added")
    if leaving:
        session.ui.say(f"{', '.join(leaving)} {will} be drained and stopped (deadline {deadline})")
    if made.done:
        session.ui.say(f"There are {len(made.workers)} workers already. Nothing to do.")


def _retire(
    ui: Ui, backend: Backend, admin_at: str, names: Sequence[str], staying: dict[str, Wanted], deadline: float
) -> int:
    """Stop each of these workers once it is idle; answers how many actions still run at the deadline.

    `staying` are all members that run, of which those that stopped are taken.
    """
    try:
        running = 0
        for seen in draining.until_idle(admin_at, draining.drain(admin_at, names), deadline):
            match seen:
                case draining.Idle(name, finished):
                    del staying[name]
                    backend.apply(list(staying.values()), _SIGN_OFF_SECONDS)
                    did = f"finished {finished} action{'' if finished == 1 else 's'}" if finished else "idle"
                    ui.step("scale", name, f"{name} {did}, stopped", state="gone", finished=finished)
                    running = 0
                case draining.Waiting(running):
                    ui.waiting(f"{running} actions still run")
    except BaseException:
        draining.release(admin_at, names)
        raise
    if running:
        ui.warn(f"{running} actions still run at the deadline; the workers that stay run them again")
    return running


def _done(session: Session, made: Plan, left: int, took: float, *, dry_run: bool) -> int:
    count = len(made.workers)
    if not dry_run and not made.done:
        session.ui.say(f'Cluster "{made.wish.name}" has {count} worker{"" if count == 1 else "s"} after {took:.1f}s.')
    item: dict[str, Any] = {
        "name": made.wish.name,
        "dry_run": dry_run,
        "changed": made.changes,
        "workers": made.workers,
        "added": [step.member for step in made.steps if step.sign is Sign.ADD],
        "removed": [step.member for step in made.steps if step.sign is Sign.REMOVE],
        "actions_run_again": left,
        "took_ms": int(took * 1000),
    }
    session.ui.item("nlctl.scale/v1", item, "", name=str(count))
    return Exit.OK

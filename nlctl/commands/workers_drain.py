"""`nlctl workers drain`: let workers finish what they run, and give them nothing new."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from nlctl import admin
from nlctl.arguments import seconds
from nlctl.cordon import by_route
from nlctl.exits import Exit
from nlctl.faults import NOT_DRAINED, Fault, fix
from nlctl.session import Route, Session, admin_of

EPILOG = """\b
Examples:
  nlctl workers drain worker-2
  nlctl workers drain worker-1 worker-2 --deadline 10m
  nlctl workers drain worker-2 --detach
\b
Exit status: 0 idle, 3 no such worker, 4 no cluster is running, 6 still running at the deadline, 10 cannot drain here
"""
_LOOK_SECONDS: Final = 0.2


def command(
    ctx: typer.Context,
    worker: Annotated[list[str], typer.Argument(help="Names or ids, as `nlctl workers ls` shows them.")],
    deadline: Annotated[str, typer.Option(help="Longest wait until they are idle.")] = "10m",
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what they run.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Give these workers no new work and wait until each has finished what it runs.

    All of them stop taking work before the first is waited for. Ctrl-C ends the waiting, not the drain;
    `nlctl workers uncordon` undoes it. A NativeLink server takes whole ids, and cannot be asked when they are idle.
    """
    session: Session = ctx.obj
    target = session.target(name)
    if target.admin is None and target.route is not None:
        return _by_route(session, target.route, worker, dry_run=dry_run)
    endpoint = admin_of(target)
    limit = seconds(deadline)
    states = admin.workers_named(endpoint, worker) if dry_run else admin.set_drain(endpoint, worker, draining=True)
    if not dry_run:
        _tell(session, states)
        if not detach:
            states = _until_idle(session, endpoint, states, limit)
    rows = [_row(one) for one in states]
    session.ui.item("nlctl.workers.drain/v1", {"dry_run": dry_run, "workers": rows}, "", name=" ".join(worker))
    return Exit.OK


def _by_route(session: Session, route: Route, ids: Sequence[str], *, dry_run: bool) -> int:
    rows = [{**row, "operations": []} for row in by_route(route, ids, draining=True, dry_run=dry_run)]
    if not dry_run:
        session.ui.warn("NativeLink does not tell what its workers run: their logs show when they are idle")
    session.ui.item("nlctl.workers.drain/v1", {"dry_run": dry_run, "workers": rows}, "", name=" ".join(ids))
    return Exit.OK


def _tell(session: Session, states: Sequence[admin.WorkerFacts]) -> None:
    for one in states:
        running = len(one.operations)
        session.ui.say(f"{one.name} takes no new work; it runs {running} action{'' if running == 1 else 's'}.")
    if any(one.operations for one in states):
        session.ui.say("Ctrl-C stops waiting, not the drain.")


def _until_idle(
    session: Session, endpoint: str, states: Sequence[admin.WorkerFacts], limit: float
) -> list[admin.WorkerFacts]:
    began = time.monotonic()
    wanted, done = {one.id: one for one in states}, set[str]()
    while True:
        now = {one.id: one for one in admin.workers(endpoint) if one.id in wanted}
        # A worker that went away runs nothing any more.
        idle = [id_ for id_ in wanted if id_ not in now or not now[id_].operations]
        for id_ in idle:
            if id_ not in done:
                done.add(id_)
                took = time.monotonic() - began
                session.ui.step("drain", wanted[id_].name, f"{wanted[id_].name} drained in {took:.1f}s", state="idle")
        if len(done) == len(wanted):
            session.ui.say(f"undo: nlctl workers uncordon {' '.join(sorted({one.name for one in wanted.values()}))}")
            return [now.get(id_, one) for id_, one in wanted.items()]
        left = sum(len(one.operations) for one in now.values())
        if time.monotonic() - began > limit:
            raise Fault(
                NOT_DRAINED,
                f"{left} actions still run after {limit:g}s",
                why="; ".join(f"{one.name} runs {len(one.operations)}" for one in now.values() if one.operations),
                fixes=[
                    fix("wait longer; the drain goes on", "nlctl", "workers", "drain", *sorted({*_names(wanted)})),
                    fix("see what they run", "nlctl", "ops", "ls"),
                ],
            )
        session.ui.waiting(f"{left} actions still run")
        time.sleep(_LOOK_SECONDS)


def _names(wanted: dict[str, admin.WorkerFacts]) -> list[str]:
    return [one.name for one in wanted.values()]


def _row(worker: admin.WorkerFacts) -> dict[str, Any]:
    return {"name": worker.name, "id": worker.id, "state": worker.state, "operations": list(worker.operations)}

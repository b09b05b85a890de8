"""`nlctl down`: stop a cluster, and remove its data on demand."""

from __future__ import annotations

import math
import time
from typing import Annotated, Any

import typer

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import NOT_READY, Fault, fix
from nlctl.launch import backends
from nlctl.launch.ledger import Ledger, known
from nlctl.session import Session, admin_of
from nlctl.ui import Column, human_bytes

EPILOG = """\b
Examples:
  nlctl down                  stop the latest cluster, keep its data
  nlctl down --wipe --yes     and remove everything it stored
  nlctl down --all
\b
Exit status: 0 down, 2 --wipe without --yes where nobody can be asked, 4 nothing there, 6 it did not end
"""
_COLUMNS = (Column("CLUSTER", "name"), Column("STOPPED", "stopped"), Column("DATA", "data_bytes", human_bytes))


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every cluster of this user.")] = False,
    wipe: Annotated[bool, typer.Option("--wipe", help="Remove its blobs, configs and logs too.")] = False,
    drain: Annotated[bool, typer.Option("--drain", help="Let workers finish first, for as long as it takes.")] = False,
    grace: Annotated[str, typer.Option(help="How long parts may finish what they do.")] = "10s",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would stop, and be removed.")] = False,
) -> int:
    """Stop a cluster: workers finish or give up what they run, then the scheduler and the CAS end.

    Data, configs and logs stay until --wipe.
    """
    session: Session = ctx.obj
    names = _ours(session) if every else [session.cluster(name).name]
    limit = seconds(grace)
    if dry_run:
        return _would(session, names, wipe=wipe)
    if wipe:
        _confirm(session, names)
    done = [_one(session, session.ledger(one), limit, wipe=wipe, drain=drain) for one in names]
    _tell(session, done, wipe=wipe)
    return Exit.OK


def _ours(session: Session) -> list[str]:
    """Every cluster that nlctl runs; those of Compose are ended by Compose."""
    records = {name: session.ledger(name).load() for name in known(session.state)}
    return [name for name, record in records.items() if record is None or not record.project]


def _would(session: Session, names: list[str], *, wipe: bool) -> int:
    rows = []
    for ledger in map(session.ledger, names):
        backend = backends.of(ledger)
        parts = [one.name for one in backend.reports() or ()]
        size = backend.data_bytes()
        removed = f", and {human_bytes(size)} of data be removed" if wipe else ""
        session.ui.say(f'Cluster "{ledger.name}": {", ".join(parts) or "nothing"} would stop{removed}.')
        rows.append(_row(ledger, len(parts), 0 if wipe else size, 0, wiped=wipe, dry_run=True))
    if session.ui.structured or session.ui.format == "name":
        session.ui.items("nlctl.down/v1", rows, _COLUMNS)
    return Exit.OK


def _confirm(session: Session, names: list[str]) -> None:
    size = sum(backends.of(session.ledger(name)).data_bytes() for name in names)
    which = ", ".join(repr(name) for name in names)
    what = f"this deletes {human_bytes(size)} of cached objects of cluster {which}"
    session.confirm(what, names[0] if len(names) == 1 else "all")


def _one(session: Session, ledger: Ledger, grace: float, *, wipe: bool, drain: bool) -> dict[str, Any]:
    began = time.monotonic()
    with ledger.locked():
        if drain:
            _drain(session, ledger)
        backend = backends.of(ledger)
        # Of containers it can be told while they run.
        size = 0 if wipe else backend.data_bytes()
        stopped = _stop(session, ledger, grace)
        backend.forget(data=wipe)
        ledger.forget(data=wipe)
    if wipe:
        session.forget(ledger.name)
    took = int((time.monotonic() - began) * 1000)
    return _row(ledger, stopped, size, took, wiped=wipe, dry_run=False)


def _row(ledger: Ledger, stopped: int, size: int, took: int, *, wiped: bool, dry_run: bool) -> dict[str, Any]:
    return {
        "name": ledger.name,
        "dry_run": dry_run,
        "stopped": stopped,
        "wiped": wiped,
        "data_bytes": size,
        "data": str(ledger.data),
        "took_ms": took,
    }


def _drain(session: Session, ledger: Ledger) -> None:
    """Let all workers finish what they run. Ctrl-C gives them work again. Raises Fault UNSUPPORTED."""
    from nlctl.launch import draining

    workers = [one.name for one in backends.of(ledger).reports() or () if one.name.startswith("worker-")]
    if not workers:
        return
    endpoint = admin_of(session.recorded(ledger.name))
    try:
        drained = draining.drain(endpoint, workers)
        for seen in draining.until_idle(endpoint, drained, math.inf):
            if isinstance(seen, draining.Waiting):
                session.ui.waiting(f"{seen.running} actions still run")
    except BaseException:
        draining.release(endpoint, workers)
        raise
    session.ui.step("down", "drain", f"drained {len(drained)} workers", state="idle", workers=len(drained))


def _stop(session: Session, ledger: Ledger, grace: float) -> int:
    """End every part of this cluster; answers how many there were."""
    backend = backends.of(ledger)
    gone: list[str] = []
    for report in backend.stop(grace, time.monotonic() + grace + 5.0):
        if report.state == "gone":
            gone.append(report.name)
            session.ui.step("down", report.name, f"{report.name} stopped", state="gone")
        else:
            session.ui.waiting(f"{report.name} is {report.state}")
    if backend.reports() is not None:
        raise Fault(
            NOT_READY,
            f"cluster {ledger.name!r} did not end in time",
            fixes=[fix("see what is left", "nlctl", "-C", ledger.name, "ps"), fix("give it more time with --grace")],
        )
    return len(gone) + backend.sweep(grace)


def _tell(session: Session, done: list[dict[str, Any]], *, wipe: bool) -> None:
    for one in done:
        kept = f" Data kept: {human_bytes(one['data_bytes'])} in {one['data']}  (--wipe removes it)"
        took = one["took_ms"] / 1000
        session.ui.say(f'Cluster "{one["name"]}" is down in {took:.1f}s.' + (" Removed." if wipe else kept))
    if session.ui.structured or session.ui.format == "name":
        session.ui.items("nlctl.down/v1", done, _COLUMNS)

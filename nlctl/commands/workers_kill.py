"""`nlctl workers kill`: end workers at once; what they run is queued again for others."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from nlctl import admin
from nlctl.exits import Exit
from nlctl.faults import UNSUPPORTED, USAGE, Fault, fix
from nlctl.launch.process import Identity, identity, tell
from nlctl.session import Session, admin_of

EPILOG = """\b
Examples:
  nlctl workers kill worker-2
  nlctl workers kill worker-2 --yes --signal TERM
  nlctl workers kill worker-1 worker-2 --dry-run
\b
Exit status: 0 ended, 2 unconfirmed, 3 no such worker, 4 no cluster is running, 10 no process of this machine
"""
_SIGNALS: Final = {name: getattr(signal, f"SIG{name}") for name in ("KILL", "TERM", "INT", "QUIT", "ABRT")}
_GONE_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 0.05


def command(
    ctx: typer.Context,
    worker: Annotated[list[str], typer.Argument(help="Names or ids, as `nlctl workers ls` shows them.")],
    number: Annotated[str, typer.Option("--signal", help=f"One of {', '.join(_SIGNALS)}.")] = "KILL",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only tell what would die.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Send a signal to the processes of workers: their running actions die and are queued again for other workers.

    The supervisor starts a worker that ended again; `nlctl workers drain` lets it finish, `nlctl scale` takes it away.
    """
    session: Session = ctx.obj
    if number not in _SIGNALS:
        raise Fault(USAGE, f"{number!r} is no signal", fixes=[fix(f"choose one of {', '.join(_SIGNALS)}")])
    _, backend = session.running(name)
    endpoint = admin_of(session.target(name))
    meant = admin.workers_named(endpoint, worker)
    processes = _processes(meant, {one.name: one.pid for one in backend.reports() or ()})
    dying = sum(len(one.operations) for one in meant)
    if not dry_run:
        names = " ".join(one.name for one in meant)
        session.confirm(f"this kills {names}, {_fate(dying)}", names)
        for who in processes.values():
            tell(who, _SIGNALS[number])
        if number == "KILL":
            _until_gone(endpoint, {one.id for one in meant})
    _tell(session, meant, processes, dry_run=dry_run)
    return Exit.OK


def _processes(meant: Sequence[admin.WorkerFacts], pids: Mapping[str, int | None]) -> dict[str, Identity]:
    found: dict[str, Identity] = {}
    for one in meant:
        who = identity(pid) if (pid := pids.get(one.name)) else None
        if who is None:
            raise Fault(
                UNSUPPORTED,
                f"{one.name} is no process that nlctl started on this machine",
                why="the admin API can take its work away, and only where it runs can somebody end it",
                fixes=[fix("give it no new work", "nlctl", "workers", "cordon", one.name)],
            )
        found[one.name] = who
    return found


def _fate(count: int) -> str:
    return f"with {_actions(count)} running there, to be run again by others" if count else "where nothing runs now"


def _actions(count: int) -> str:
    return f"{count} action{'' if count == 1 else 's'}"


def _until_gone(endpoint: str, ids: set[str]) -> None:
    """Wait until the scheduler noticed, which it does at once; only then are their actions queued again."""
    deadline = time.monotonic() + _GONE_SECONDS
    while any(one.id in ids for one in admin.workers(endpoint)) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


def _tell(
    session: Session, meant: Sequence[admin.WorkerFacts], processes: Mapping[str, Identity], *, dry_run: bool
) -> None:
    rows: list[dict[str, Any]] = [
        {"name": one.name, "id": one.id, "pid": processes[one.name].pid, "operations": list(one.operations)}
        for one in meant
    ]
    for row in rows:
        ends = "would die" if dry_run else "died"
        text = f"{row['name']} (pid {row['pid']}) {ends}; {_actions(len(row['operations']))} with it"
        session.ui.step("kill", row["name"], text, state="gone", pid=row["pid"], operations=len(row["operations"]))
    item = {"dry_run": dry_run, "workers": rows}
    session.ui.item("nlctl.workers.kill/v1", item, "", name="\n".join(one.name for one in meant))

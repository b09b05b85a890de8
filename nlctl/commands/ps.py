"""`nlctl ps`: the processes of a cluster."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from nlctl.exits import Exit
from nlctl.launch.backend import Report, Used
from nlctl.launch.ledger import Ledger, Record
from nlctl.session import Session
from nlctl.ui import Column, human_bytes, human_span

EPILOG = """\b
Examples:
  nlctl ps
  nlctl ps -o json
\b
Exit status: 0 listed, 4 no cluster is running
"""
_SAMPLE_SECONDS: Final = 0.2


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}%"


_COLUMNS = (
    Column("PART", "name"),
    Column("STATE", "state"),
    Column("PID", "pid"),
    Column("PORTS", "ports"),
    Column("UP", "since_ms", human_span),
    Column("CPU", "cpu_percent", _percent),
    Column("TIME", "cpu_ms", human_span),
    Column("RSS", "rss_bytes", human_bytes),
    Column("PSS", "pss_bytes", human_bytes),
    Column("RESTARTS", "restarts", lambda count: str(count or "-")),
    Column("LAST EXIT", "last_exit"),
)
_LIMITS = (
    Column("CPUS", "most_cpus"),
    Column("MEMORY", "most_memory_bytes", human_bytes),
    Column("OOM KILLS", "oom_kills"),
)


def command(ctx: typer.Context, name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "") -> int:
    """List the processes of a cluster with what they use: CPU of one processor now, and since the start.

    PSS is a process's own share of memory, for parts share what they were forked with. Of containers the limits are
    shown: how many CPUs and how much memory each may use, and how many of its processes the kernel killed for memory.
    """
    session: Session = ctx.obj
    ledger, backend = session.running(name)
    record = ledger.load()
    assert record is not None
    reports = backend.reports() or []
    before = backend.used(reports)
    began = time.monotonic()
    time.sleep(_SAMPLE_SECONDS)
    after, took = backend.used(reports), time.monotonic() - began
    shares = {one.name: _share(before.get(one.name), after.get(one.name), took) for one in reports}
    rows = [{**_row(ledger, record, one, after.get(one.name)), "cpu_percent": shares[one.name]} for one in reports]
    contained = any(one.container for one in reports)
    session.ui.items("nlctl.ps/v1", rows, (*_COLUMNS, *_LIMITS) if contained else _COLUMNS)
    return Exit.OK


def _share(before: Used | None, now: Used | None, seconds: float) -> float | None:
    """How much of one processor it used meanwhile."""
    if before is None or now is None:
        return None
    return round(max(0.0, now.cpu_seconds - before.cpu_seconds) / seconds * 100, 1)


def _row(ledger: Ledger, record: Record, report: Report, used: Used | None) -> dict[str, Any]:
    ports = {"cas": (record.ports.cas,), "scheduler": (record.ports.scheduler, record.ports.worker_api)}
    return {
        "name": report.name,
        "state": report.state,
        "pid": report.pid,
        "ports": list(ports.get(report.name, ())),
        "since_ms": report.since_ms,
        "processes": used.processes if used else 0,
        "cpu_ms": int(used.cpu_seconds * 1000) if used else None,
        "rss_bytes": used.resident_bytes if used else None,
        "pss_bytes": used.own_bytes if used else None,
        "restarts": report.restarts,
        "last_exit": report.last_exit,
        "config": report.config,
        "log": str(ledger.log(report.name)),
        "container": report.container,
        "most_cpus": report.cpus,
        "most_memory_bytes": report.memory_bytes,
        "oom_kills": used.oom_kills if used else None,
    }

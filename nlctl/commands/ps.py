"""`nlctl ps`: the processes of a cluster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from nlctl.exits import Exit
from nlctl.launch.backend import Report
from nlctl.launch.ledger import Ledger, Record
from nlctl.launch.process import children, proportional_bytes, usage
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
    Column("CPU TIME", "cpu_ms", human_span),
    Column("RSS", "rss_bytes", human_bytes),
    Column("PSS", "pss_bytes", human_bytes),
    Column("RESTARTS", "restarts"),
    Column("LAST EXIT", "last_exit"),
)


def command(ctx: typer.Context, name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "") -> int:
    """List the processes of a cluster with what they use: CPU of one processor now, and since the start.

    PSS is a process's own share of memory, for parts share what they were forked with.
    """
    session: Session = ctx.obj
    ledger, backend = session.running(name)
    record = ledger.load()
    assert record is not None
    reports = backend.reports() or []
    before = [_cpu_seconds(_pids(one, record)) for one in reports]
    began = time.monotonic()
    time.sleep(_SAMPLE_SECONDS)
    rows = [
        {**_row(ledger, record, one), "cpu_percent": _share(spent, _pids(one, record), began)}
        for one, spent in zip(reports, before, strict=True)
    ]
    session.ui.items("nlctl.ps/v1", rows, _COLUMNS)
    return Exit.OK


def _cpu_seconds(pids: Sequence[int]) -> float | None:
    used = [one for one in map(usage, pids) if one is not None]
    return sum(seconds for seconds, _ in used) if used else None


def _share(before: float | None, pids: Sequence[int], began: float) -> float | None:
    """How much of one processor they used since."""
    now = _cpu_seconds(pids)
    if before is None or now is None:
        return None
    return round(max(0.0, now - before) / (time.monotonic() - began) * 100, 1)


def _row(ledger: Ledger, record: Record, report: Report) -> dict[str, Any]:
    pids = _pids(report, record)
    used = [one for one in map(usage, pids) if one is not None]
    ports = {"cas": (record.ports.cas,), "scheduler": (record.ports.scheduler, record.ports.worker_api)}
    return {
        "name": report.name,
        "state": report.state,
        "pid": report.pid,
        "ports": list(ports.get(report.name, ())),
        "since_ms": report.since_ms,
        "processes": len(pids) - 1 if len(pids) > 1 else len(pids),
        "cpu_ms": int(sum(seconds for seconds, _ in used) * 1000) if used else None,
        "rss_bytes": sum(resident for _, resident in used) if used else None,
        "pss_bytes": sum(filter(None, map(proportional_bytes, pids))) if used else None,
        "restarts": report.restarts,
        "last_exit": report.last_exit,
        "config": report.config,
        "log": str(ledger.log(report.name)),
    }


def _pids(report: Report, record: Record) -> list[int]:
    """The processes of this part: itself, and those that serve under it where there are several."""
    if report.pid is None:
        return []
    return [report.pid, *(children(report.pid) if report.name == "cas" and record.cas_processes > 1 else ())]

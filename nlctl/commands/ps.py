"""`nlctl ps`: the processes of a cluster."""

from __future__ import annotations

from typing import Annotated, Any

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
_COLUMNS = (
    Column("PART", "name"),
    Column("STATE", "state"),
    Column("PID", "pid"),
    Column("PORTS", "ports"),
    Column("SINCE", "since_ms", human_span),
    Column("CPU", "cpu_ms", human_span),
    Column("RSS", "rss_bytes", human_bytes),
    Column("PSS", "pss_bytes", human_bytes),
    Column("RESTARTS", "restarts"),
    Column("LAST EXIT", "last_exit"),
)


def command(ctx: typer.Context, name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "") -> int:
    """List the processes of a cluster with what they use. PSS is a process's own share of memory."""
    session: Session = ctx.obj
    ledger, backend = session.running(name)
    record = ledger.load()
    assert record is not None
    session.ui.items("nlctl.ps/v1", [_row(ledger, record, one) for one in backend.reports() or ()], _COLUMNS)
    return Exit.OK


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

"""`nlctl ps`: the processes of a cluster."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.launch.backend import Report
from nlctl.launch.ledger import Ledger, Record
from nlctl.launch.process import proportional_bytes, usage
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
    used = usage(report.pid) if report.pid else None
    ports = {"cas": (record.ports.cas,), "scheduler": (record.ports.scheduler, record.ports.worker_api)}
    return {
        "name": report.name,
        "state": report.state,
        "pid": report.pid,
        "ports": list(ports.get(report.name, ())),
        "since_ms": report.since_ms,
        "cpu_ms": int(used[0] * 1000) if used else None,
        "rss_bytes": used[1] if used else None,
        "pss_bytes": proportional_bytes(report.pid) if report.pid else None,
        "restarts": report.restarts,
        "last_exit": report.last_exit,
        "config": report.config,
        "log": str(ledger.log(report.name)),
    }

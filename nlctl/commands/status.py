"""`nlctl status`: is the cluster healthy, and what needs attention."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from nlserver.errors import Error

from nlctl import admin
from nlctl.exits import Exit
from nlctl.launch.backend import Report
from nlctl.launch.ledger import Record
from nlctl.launch.wish import HOST
from nlctl.session import Session
from nlctl.ui import Ui, human_span
from nlctl.verdict import Attention, attention

EPILOG = """\b
Examples:
  nlctl status
  nlctl status -o json
  nlctl status -q && echo healthy
\b
Exit status: 0 healthy, 4 no cluster is running, 5 something needs attention
"""


def command(ctx: typer.Context, name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "") -> int:
    """Show whether the cluster is healthy: its parts, workers and queue, and what needs attention."""
    session: Session = ctx.obj
    ledger, backend = session.running(name)
    record = ledger.load()
    assert record is not None
    reports = backend.reports() or []
    seen, trouble = _overview(f"grpc://{HOST}:{record.ports.worker_api}")
    found = attention(reports, record.workers, seen, trouble, time.time())
    item = _item(record, reports, seen, found)
    session.ui.item("nlctl.status/v1", item, _text(session.ui, item), name=f"{record.name} {item['verdict']}")
    return Exit.UNHEALTHY if found else Exit.OK


def _overview(endpoint: str) -> tuple[admin.Overview | None, str]:
    try:
        return admin.overview(endpoint), ""
    except Error as error:
        return None, str(error)


def _item(record: Record, reports: list[Report], seen: admin.Overview | None, found: list[Attention]) -> dict[str, Any]:
    ports = record.ports
    oldest = min((one.since for one in seen.queued), default=None) if seen else None
    return {
        "name": record.name,
        "verdict": "DEGRADED" if found else "READY",
        "parts": [{"name": one.name, "state": one.state, "pid": one.pid, "since_ms": one.since_ms} for one in reports],
        "workers": {
            "wanted": len(record.workers),
            "registered": len(seen.workers) if seen else None,
            "running": sum(len(one.operations) for one in seen.workers) if seen else None,
        },
        "queue": {
            "queued": seen.queue_length if seen else None,
            "oldest_ms": int((time.time() - oldest) * 1000) if oldest else None,
        },
        "endpoints": {
            "cas": f"grpc://{HOST}:{ports.cas}",
            "scheduler": f"grpc://{HOST}:{ports.scheduler}",
            "worker_api": f"grpc://{HOST}:{ports.worker_api}",
        },
        "needs_attention": [{"what": one.what, "command": list(one.command)} for one in found],
    }


def _text(ui: Ui, item: dict[str, Any]) -> str:
    workers, queue = item["workers"], item["queue"]
    oldest = f" (oldest {human_span(queue['oldest_ms'])})" if queue["oldest_ms"] else ""
    registered, running = _number(workers["registered"]), _number(workers["running"])
    counts = f"{registered} of {workers['wanted']} workers, {running} actions running, queue {_number(queue['queued'])}"
    lines = [
        f"{ui.bold(item['name'])}  {ui.bold(item['verdict'])}   {counts}{oldest}",
        f"CAS        {item['endpoints']['cas']}",
        f"Scheduler  {item['endpoints']['scheduler']}",
        *(f"  {ui.mark(_good(one['state']))} {_part(one)}" for one in item["parts"]),
    ]
    if item["needs_attention"]:
        lines.append("Needs attention")
        lines += [f"  ! {one['what']:<60}  {' '.join(one['command'])}" for one in item["needs_attention"]]
    return "\n".join(lines)


def _part(part: dict[str, Any]) -> str:
    pid = f"pid {part['pid']}" if part["pid"] else ""
    return f"{part['name']:<12} {part['state']:<9} {pid:<12} {human_span(part['since_ms'])}"


def _good(state: str) -> bool | None:
    return True if state == "ready" else False if state in ("backoff", "failed") else None


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)

"""`nlctl status`: is the cluster healthy, and what needs attention."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

import typer
from nlserver.errors import Error

from nlctl import admin
from nlctl.exits import Exit
from nlctl.launch import backends
from nlctl.launch.backend import Report, answering
from nlctl.launch.containers import awaited
from nlctl.launch.ledger import Record
from nlctl.session import Session
from nlctl.ui import Ui, human_bytes, human_span
from nlctl.verdict import Attention, attention
from nlctl.watch.spans import cut

EPILOG = """\b
Examples:
  nlctl status
  nlctl status -o json
  nlctl status --graph
  nlctl status -q && echo healthy
\b
Exit status: 0 healthy, 4 no cluster is running, 5 something needs attention
"""
_LOOK_SECONDS: Final = 2.0
_IN_A_ROW: Final = 3


def command(
    ctx: typer.Context,
    graph: Annotated[bool, typer.Option("--graph", help="Draw who speaks to whom.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every 2 s; q or Ctrl-C ends it.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show whether the cluster is healthy: parts, workers, queue and stores, and what needs attention."""
    session: Session = ctx.obj
    if watch:
        return _watch(session, name, graph=graph)
    item = _look(session, name)
    text = _text(session.ui, item, graph=graph)
    session.ui.item("nlctl.status/v1", item, text, name=f"{item['name']} {item['verdict']}")
    return _code(item)


def _look(session: Session, name: str) -> dict[str, Any]:
    ledger, backend = session.running(name)
    record = ledger.load()
    assert record is not None
    reports = backend.reports() or []
    admin_at = backends.admin_of(ledger, record)
    # Other servers have no admin service, and nothing is wrong with that.
    seen, trouble = _overview(admin_at) if admin_at else (None, "")
    registered = [one.name for one in seen.workers] if seen else ()
    wanted = awaited(record.containers, record.workers, reports, registered)
    found = attention(reports, wanted, seen, trouble, time.time())
    sockets = {name: socket for name, socket in answering(reports).items() if name == "cas"}
    return {
        **_item(record, len(wanted), reports, seen, found),
        "stores": _stores(sockets),
        "results": _results(sockets),
        "actions": _actions(admin_at) if admin_at and seen else None,
    }


def _code(item: dict[str, Any]) -> int:
    return Exit.UNHEALTHY if item["needs_attention"] else Exit.OK


def _watch(session: Session, name: str, *, graph: bool) -> int:
    """On a terminal the screen, off it a document or text for each look."""
    if session.ui.format != "table":
        while True:
            item = _look(session, name)
            if session.ui.structured:
                session.ui.event("nlctl.status/v1", item)
            else:
                session.ui.item("nlctl.status/v1", item, _text(session.ui, item, graph=graph))
            time.sleep(_LOOK_SECONDS)
    with session.ui.taken_over() as terminal:
        pressed: list[str] = []
        while "q" not in pressed:
            item = _look(session, name)
            width, height = terminal.size
            lines = _text(session.ui, item, graph=graph, bold=False).splitlines()
            shown = [[(cut(line, width, ascii_only=session.ui.ascii_only), "")] for line in lines[:height]]
            terminal.paint([*shown, *[()] * (height - len(shown))])
            pressed = terminal.wait(_LOOK_SECONDS)
    return _code(item)


def _stores(sockets: Mapping[str, str]) -> list[dict[str, Any]]:
    """How full the stores of the CAS server are: of each the first layer that counts. None while it is away."""
    from nlctl.layers import Layer, layers

    counted: dict[str, Layer] = {}
    for one in layers(sockets):
        if one.values is not None:
            counted.setdefault(one.path.partition("/")[0], one)
    return [
        {"name": name, "values": one.values, "size_bytes": one.size_bytes, "max_bytes": one.max_bytes or None}
        for name, one in counted.items()
    ]


def _results(sockets: Mapping[str, str]) -> dict[str, Any]:
    """How often the action cache had what it was asked for, since its part started."""
    found = missed = 0
    for socket in sockets.values():
        with suppress(Error):
            part = admin.part(str(socket))
            found, missed = found + part.found_results, missed + part.missed_results
    return {"found": found, "missed": missed, "hit_ratio": found / (found + missed) if found + missed else None}


def _actions(endpoint: str) -> dict[str, Any] | None:
    """How many actions were given to workers of late, as far as the scheduler remembers; None where it does not say."""
    from nlserver.proto import admin_pb2

    from nlctl.watch.pace import EVENT, pace

    given, since = [], 0.0
    try:
        with admin.Admin(endpoint) as scheduler:
            for event in scheduler.stream("WatchEvents", admin_pb2.WatchEventsRequest()):
                when = event.when.seconds + event.when.nanos / 1e9
                # Unless it is the first of all there were others before, which are forgotten.
                since = since or (when if event.number > 1 else 1.0)
                if event.event == EVENT:
                    given.append(when)
    except Error:
        return None
    found = pace(given, time.time(), since)
    return {"given": sum(found.slots), "span_ms": int(found.seconds * 1000), "slots": list(found.slots)}


def _overview(endpoint: str) -> tuple[admin.Overview | None, str]:
    try:
        return admin.overview(endpoint), ""
    except Error as error:
        return None, str(error)


def _item(
    record: Record, wanted: int, reports: list[Report], seen: admin.Overview | None, found: list[Attention]
) -> dict[str, Any]:
    oldest = min((one.since for one in seen.queued), default=None) if seen else None
    return {
        "name": record.name,
        "verdict": "DEGRADED" if found else "READY",
        "parts": [{"name": one.name, "state": one.state, "pid": one.pid, "since_ms": one.since_ms} for one in reports],
        "workers": {
            "wanted": wanted,
            "registered": len(seen.workers) if seen else None,
            "states": dict(Counter(one.state for one in seen.workers)) if seen else {},
            "running": sum(len(one.operations) for one in seen.workers) if seen else None,
        },
        "queue": {
            "queued": seen.queue_length if seen else None,
            "oldest_ms": int((time.time() - oldest) * 1000) if oldest else None,
        },
        "endpoints": record.ports.named,
        "needs_attention": [{"what": one.what, "command": list(one.command)} for one in found],
    }


def _text(ui: Ui, item: dict[str, Any], *, graph: bool, bold: bool = True) -> str:
    workers, queue = item["workers"], item["queue"]
    oldest = f" (oldest {human_span(queue['oldest_ms'])})" if queue["oldest_ms"] else ""
    registered, running = _number(workers["registered"]), _number(workers["running"])
    states = ", ".join(f"{count} {state}" for state, count in workers["states"].items())
    counts = f"{registered} of {workers['wanted']} workers" + (f" ({states})" if states else "")
    head = [item["name"], item["verdict"]]
    lines = [
        "  ".join(map(ui.bold, head) if bold else head)
        + f"   {counts}, {running} actions running, queue {_number(queue['queued'])}{oldest}",
        *_aligned(
            [
                ("CAS", item["endpoints"]["cas"]),
                ("Scheduler", item["endpoints"]["scheduler"]),
                *((one["name"], _store(one)) for one in item["stores"]),
                *_hits(item["results"]),
                *_pace(item["actions"], ascii_only=ui.ascii_only),
            ]
        ),
        *(_graph(ui, item) if graph else (f"  {ui.mark(_good(one['state']))} {_part(one)}" for one in item["parts"])),
    ]
    if item["needs_attention"]:
        lines.append("Needs attention")
        for one in item["needs_attention"]:
            lines += [f"  ! {one['what']}", f"      {shlex.join(one['command'])}"]
    return ui.fitted("\n".join(lines))


def _aligned(rows: Sequence[tuple[str, str]]) -> list[str]:
    room = max(len(name) for name, _ in rows)
    return [f"{name:<{room}}  {text}" for name, text in rows]


def _store(store: dict[str, Any]) -> str:
    most = f" of {human_bytes(store['max_bytes'])}" if store["max_bytes"] else ""
    return f"{human_bytes(store['size_bytes'])}{most}, {store['values']:,} values"


def _hits(results: dict[str, Any]) -> list[tuple[str, str]]:
    asked = results["found"] + results["missed"]
    return [("Results", f"hit {results['hit_ratio']:.0%} of {asked:,} look-ups since the start")] if asked else []


def _pace(actions: dict[str, Any] | None, *, ascii_only: bool) -> list[tuple[str, str]]:
    from nlctl.watch.marks import spark

    if not actions or not actions["given"]:
        return []
    line = spark(actions["slots"], len(actions["slots"]), ascii_only=ascii_only)
    return [("Actions", f"{line} {actions['given']:,} given to workers in {human_span(actions['span_ms'])}")]


def _graph(ui: Ui, item: dict[str, Any]) -> list[str]:
    """Who speaks to whom, in characters that every terminal has."""
    states = {part["name"]: part["state"] for part in item["parts"]}
    ports = {name: url.rpartition(":")[2] for name, url in item["endpoints"].items()}

    def shown(name: str) -> str:
        return f"{ui.mark(_good(states.get(name, 'gone')))} {name}"

    cas = f"  clients --> {shown('cas')} :{ports['cas']} <--- "
    below = cas.index("cas") * " " + "^"
    gap = (len(cas) - len(below)) * " "
    lines = [f"{cas}{shown('scheduler')} :{ports['scheduler']}", f"{below}{gap}^ worker API :{ports['worker_api']}"]
    workers = [name for name in states if name.startswith("worker-")]
    lead = f"{below[:-1]}+--- "
    for start in range(0, len(workers), _IN_A_ROW):
        lines.append(lead + "  ".join(map(shown, workers[start : start + _IN_A_ROW])))
        lead = len(lead) * " "
    return lines


def _part(part: dict[str, Any]) -> str:
    pid = f"pid {part['pid']}" if part["pid"] else ""
    return f"{part['name']:<12} {part['state']:<9} {pid:<12} {human_span(part['since_ms'])}"


def _good(state: str) -> bool | None:
    return True if state == "ready" else False if state in ("backoff", "failed") else None


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)

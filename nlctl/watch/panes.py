"""The tables of `top`, one a pane. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nlctl.admin import OperationFacts, WorkerFacts
from nlctl.ui import human_bytes, human_properties, human_span
from nlctl.watch.facts import PartFacts, Snapshot
from nlctl.watch.history import History
from nlctl.watch.marks import bar, spark
from nlctl.watch.spans import Span
from nlctl.watch.view import Row
from nlctl.worker_ids import worker_name

_SPARK: Final = 6
_BAR: Final = 10
_STYLES: Final = {
    "ready": "good",
    "busy": "accent",
    "draining": "warn",
    "paused": "warn",
    "starting": "warn",
    "waiting": "warn",
    "stopping": "warn",
    "backoff": "bad",
    "failed": "bad",
    "executing": "accent",
    "queued": "warn",
}


@dataclass(frozen=True)
class Column:
    """A header, and whether its cells stand to the right."""

    header: str
    right: bool = False


@dataclass(frozen=True)
class Table:
    """Columns, and rows of as many cells; the last column takes what room there is."""

    columns: Sequence[Column]
    rows: Sequence[tuple[Row, Sequence[Span]]]

    def filtered(self, text: str) -> Table:
        """The rows that have this text somewhere, in whatever case."""
        wanted = text.lower()
        return Table(self.columns, [one for one in self.rows if any(wanted in cell.lower() for cell, _ in one[1])])


def table(pane: str, now: Snapshot, history: History, *, ascii_only: bool) -> Table:
    """The table of this pane."""
    return _PANES[pane](now, history, ascii_only)


def _workers(now: Snapshot, history: History, ascii_only: bool) -> Table:
    running = {operation.id: operation for operation in now.executing}
    parts = {part.name: part for part in now.parts}
    rows = []
    for worker in sorted(now.workers, key=lambda one: _natural(one.name)):
        part, cpu = parts.get(worker.name), history.series(f"cpu {worker.name}")
        cells = [
            (worker.name, "bold"),
            (worker.state, _STYLES.get(worker.state, "")),
            (f"{len(worker.operations)}/{worker.most_operations or '-'}", ""),
            (percent(history.cpu(worker.name)), ""),
            (spark(cpu, _SPARK, most=_most(cpu), ascii_only=ascii_only), "accent"),
            (human_bytes(part.resident_bytes if part else None), ""),
            (str(worker.completed), ""),
            (ago(now.when, worker.last_seen), ""),
            (_doing(now, worker, running), "" if worker.operations else "dim"),
        ]
        rows.append((Row(worker.id, worker.name, worker.state == "draining"), cells))
    heads = ("WORKER", "STATE", ">SLOTS", ">CPU", "", ">MEM", ">DONE", ">SEEN", "RUNNING")
    return Table(_columns(heads), rows)


def _parts(now: Snapshot, history: History, ascii_only: bool) -> Table:
    rows = []
    for part in now.parts:
        cpu = history.series(f"cpu {part.name}")
        cells = [
            (part.name, "bold"),
            _state(part),
            (str(part.pid or "-"), ""),
            (ago(now.when, part.started), ""),
            (percent(history.cpu(part.name)), ""),
            (spark(cpu, _SPARK, most=_most(cpu), ascii_only=ascii_only), "accent"),
            (human_bytes(part.resident_bytes), ""),
            (str(part.counters.get("calls", "-")), ""),
            (str(part.restarts), "warn" if part.restarts else ""),
            (part.trouble or "; ".join(part.ailments), "bad"),
        ]
        rows.append((Row(part.name, part.name), cells))
    heads = ("PART", "STATE", ">PID", ">UP", ">CPU", "", ">MEM", ">CALLS", ">RESTARTS", "TROUBLE")
    return Table(_columns(heads), rows)


def _operations(now: Snapshot, _history: History, _ascii_only: bool) -> Table:
    rows = []
    for one in [*now.queued, *now.executing]:
        cells = [
            (one.id[:8], "bold"),
            (one.stage, _STYLES.get(one.stage, "")),
            (ago(now.when, one.since), ""),
            (worker_name(one.worker) or "-", ""),
            (_called(one), ""),
            (str(one.attempts), ""),
            (str(one.waiters), ""),
            (one.explanation or human_properties(one.properties), "bad" if one.unsatisfiable else ""),
        ]
        rows.append((Row(one.id, one.id[:8]), cells))
    heads = ("OPERATION", "STAGE", ">FOR", "WORKER", "ACTION", ">TRIES", ">CLIENTS", "WHY")
    return Table(_columns(heads), rows)


def _queues(now: Snapshot, _history: History, _ascii_only: bool) -> Table:
    rows = []
    for one in now.queues:
        asked = human_properties(one.properties) or "nothing"
        cells = [
            (str(one.queued), "warn" if one.queued else ""),
            (str(one.executing), ""),
            (f"{one.free_workers}/{one.workers}", "bad" if one.queued and not one.workers else ""),
            (ago(now.when, one.oldest), ""),
            (f"{asked}: {one.explanation}" if one.explanation else asked, ""),
        ]
        rows.append((Row(asked, asked), cells))
    return Table(_columns((">QUEUED", ">RUNNING", ">FREE", ">OLDEST", "ASKS FOR")), rows)


def _stores(now: Snapshot, _history: History, ascii_only: bool) -> Table:
    rows = []
    for part in now.parts:
        for layer in part.stores:
            share = layer.size_bytes / layer.max_bytes if layer.size_bytes is not None and layer.max_bytes else None
            cells = [
                (part.name, ""),
                (layer.path, "bold"),
                (layer.kind, ""),
                (human_bytes(layer.size_bytes), ""),
                (human_bytes(layer.max_bytes or None), ""),
                ("" if share is None else bar(share, _BAR, ascii_only=ascii_only), "accent"),
                ("-" if layer.values is None else str(layer.values), ""),
                (next(iter(layer.facts.values()), ""), "dim"),
            ]
            rows.append((Row(f"{part.name} {layer.path}", layer.path), cells))
    heads = ("PART", "STORE", "KIND", ">HELD", ">LIMIT", "", ">VALUES", "WHERE")
    return Table(_columns(heads), rows)


_PANES: Final[Mapping[str, Callable[[Snapshot, History, bool], Table]]] = {
    "workers": _workers,
    "parts": _parts,
    "operations": _operations,
    "queues": _queues,
    "stores": _stores,
}


def ago(now: float, moment: float | None) -> str:
    """How long before now this moment was; "-" for none."""
    return human_span(max(0.0, now - moment) * 1000) if moment else "-"


def percent(share: float | None) -> str:
    """0.913 as `91%`."""
    return "-" if share is None else f"{share:.0%}"


def _natural(name: str) -> tuple[str, int]:
    """worker-2 comes before worker-10."""
    head, _, number = name.rpartition("-")
    return (head, int(number)) if number.isdigit() else (name, 0)


def _columns(heads: Iterable[str]) -> list[Column]:
    return [Column(head.removeprefix(">"), head.startswith(">")) for head in heads]


def _state(part: PartFacts) -> Span:
    if part.trouble and part.state in ("ready", "unknown"):
        return "silent", "bad"
    return part.state, _STYLES.get(part.state, "")


def _doing(now: Snapshot, worker: WorkerFacts, running: Mapping[str, OperationFacts]) -> str:
    known = [running[id_] for id_ in worker.operations if id_ in running]
    return "  ".join(f"{_called(one)} {ago(now.when, one.since)}" for one in known) or "-"


def _called(one: OperationFacts) -> str:
    """As its client calls it, else by its action."""
    return f"{one.mnemonic} {one.target}".strip() or f"{one.action.hash[:8]}/{one.action.size_bytes}"


def _most(cpu: Sequence[float | None]) -> float:
    """One core is a full bar, unless more was used."""
    return max([1.0, *(value for value in cpu[-_SPARK:] if value is not None)])

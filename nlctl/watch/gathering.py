"""Asking the parts of a cluster, over connections that stay open. What changes slowly is asked less often."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from nlserver.errors import Code, Error

from nlctl import admin
from nlctl.admin import Admin, Explanation
from nlctl.launch.backend import Report
from nlctl.launch.process import usage_of_trees
from nlctl.layers import layers_of
from nlctl.watch.facts import PartFacts, Snapshot

T = TypeVar("T")
_PART_SECONDS: Final = 1.0
_QUIET_SECONDS: Final = 5.0
_AT_ONCE: Final = 8
_ANSWER_SECONDS: Final = 3.0
_MOST_EXECUTING: Final = 500
_MOST_QUEUED: Final = 100


@dataclass(frozen=True)
class Place:
    """A part and where it answers operators: a socket's path or a URL. `report` where a supervisor runs it."""

    name: str
    endpoint: str
    report: Report | None = None


@dataclass
class _Line:
    """A connection to one part, and what it said last. Times are those when it is to be asked again."""

    endpoint: str
    admin: Admin
    facts: PartFacts
    schedules: bool = False
    serves: bool = False
    next_part: float = 0.0
    next_stores: float = 0.0


@dataclass
class Gatherer:
    """Takes snapshots of one cluster. `places` says which parts there are now; close it at the end."""

    cluster: str
    places: Callable[[], Sequence[Place]]
    _lines: dict[str, _Line] = field(default_factory=dict)
    _next_places: float = 0.0

    def __enter__(self) -> Gatherer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection, and with it what is asked just now, from whatever thread."""
        for line in list(self._lines.values()):
            line.admin.__exit__()
        self._lines.clear()

    def take(self, *, everything: bool = False) -> Snapshot:
        """The cluster now; parts that do not answer say so. `everything` asks also what was asked lately."""
        moment = time.monotonic()
        if everything or moment >= self._next_places:
            self._next_places = moment + _PART_SECONDS
            self._settle()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            due = [line for line in self._lines.values() if everything or moment >= line.next_part]
            list(pool.map(lambda line: self._ask(line, moment, everything=everything), due))
        made = Snapshot(self.cluster, time.time(), moment, [line.facts for line in self._lines.values()])
        for line in [line for line in self._lines.values() if line.schedules]:
            made = self._work(made, line)
        return made

    def drain(self, worker: str, *, draining: bool) -> None:
        """Give this worker, by its id, no new work, or work again. Raises Error or Fault."""
        for line in [line for line in self._lines.values() if line.schedules]:
            admin.set_drain(line.endpoint, [worker], draining=draining)

    def explain(self, operation: str) -> Explanation:
        """Why this operation does not run. Raises Error NOT_FOUND."""
        lines = [line for line in self._lines.values() if line.schedules]
        if not lines:
            raise Error(Code.NOT_FOUND, "no scheduler answers")
        return admin.explain(lines[0].endpoint, operation)

    def _settle(self) -> None:
        """Bring the connections in line with the parts that there are, and look at their processes."""
        places = {place.name: place for place in self.places()}
        for name in [name for name, line in self._lines.items() if name not in places]:
            self._lines.pop(name).admin.__exit__()
        pids = {name: place.report.pid for name, place in places.items() if place.report and place.report.pid}
        used = usage_of_trees(pids)
        for name, place in places.items():
            line = self._lines.get(name) or _opened(place)
            if line is None:
                continue
            self._lines[name] = line
            usage, report = used.get(name), place.report
            line.facts = replace(
                line.facts,
                state=report.state if report else line.facts.state,
                pid=report.pid if report else line.facts.pid,
                restarts=report.restarts if report else 0,
                cpu_seconds=usage.cpu_seconds if usage else None,
                resident_bytes=usage.resident_bytes if usage else None,
                processes=usage.processes if usage else None,
            )

    def _ask(self, line: _Line, moment: float, *, everything: bool) -> None:
        from nlserver.proto import admin_pb2

        try:
            part = line.admin.call("GetPart", admin_pb2.GetPartRequest())
            stores = line.facts.stores
            if everything or moment >= line.next_stores:
                stores = layers_of(line.facts.name, line.admin)
                line.next_stores = moment + _QUIET_SECONDS
        except Error as error:
            line.facts, line.schedules = replace(line.facts, trouble=error.message), False
            line.next_part = moment + _PART_SECONDS
            return
        line.schedules, line.serves = bool(part.schedulers), bool(part.listeners)
        line.next_part = moment + (_PART_SECONDS if line.serves else _QUIET_SECONDS)
        line.facts = replace(
            line.facts,
            trouble="",
            version=part.version,
            pid=line.facts.pid or part.pid,
            started=part.started.seconds + part.started.nanos / 1e9,
            ailments=[f"{one.name}: {one.message}" for one in part.health if not one.ok],
            counters={one.name: getattr(part.counters, one.name) for one in part.counters.DESCRIPTOR.fields},
            caches={
                one.cache_type: {f.name: getattr(one, f.name) for f in one.DESCRIPTOR.fields if f.name != "cache_type"}
                for one in part.caches
            },
            stores=stores,
        )

    def _work(self, made: Snapshot, line: _Line) -> Snapshot:
        try:
            workers = admin.workers_of(line.admin)
            executing, running = admin.operations_of(line.admin, ["executing"], _MOST_EXECUTING)
            queued, waiting = admin.operations_of(line.admin, ["queued"], _MOST_QUEUED)
            queues = admin.queues_of(line.admin)
        except Error:
            # It ends just now; the next look at the part says so.
            line.next_part = 0.0
            return made
        return replace(
            made,
            workers=[*made.workers, *workers],
            executing=[*made.executing, *executing],
            running=made.running + running,
            queued=[*made.queued, *queued],
            queue_length=made.queue_length + waiting,
            queues=[*made.queues, *queues],
        )


def _opened(place: Place) -> _Line | None:
    try:
        return _Line(place.endpoint, Admin(place.endpoint, _ANSWER_SECONDS), PartFacts(place.name))
    except Error:
        # The folder of its socket is gone: it is not there yet, or not any more.
        return None

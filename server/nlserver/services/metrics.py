"""What `GET /metrics` tells Prometheus of a server: some of what `nlctl metrics` tells, under the same names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

from nlserver.dispatch.model import Readiness, Stage
from nlserver.exposition import Family
from nlserver.metrics import Count
from nlserver.scheduler import Scheduler

_COUNTERS: Final = {
    Count.CALLS: ("server.calls", "Calls that were answered, in whatever way."),
    Count.FAILED_CALLS: ("server.failed_calls", "Calls that ended with an error status; a miss is one."),
    Count.RECEIVED_BYTES: ("server.received_bytes", "Messages that came in."),
    Count.SENT_BYTES: ("server.sent_bytes", "Messages that went out."),
    Count.ASKED_BLOBS: ("blobs.asked", "Blobs that clients asked for by FindMissingBlobs."),
    Count.MISSING_BLOBS: ("blobs.missing", "Blobs among them that were missing."),
    Count.FOUND_RESULTS: ("results.found", "Results of actions that were asked for and there."),
    Count.MISSED_RESULTS: ("results.missed", "Results of actions that were asked for and absent."),
    Count.FINISHED_ACTIONS: ("actions.finished", "Actions that a worker gave a result of."),
    Count.FAILED_ACTIONS: ("actions.failed", "Actions that a worker could not run; each try counts."),
}


def families(schedulers: Iterable[Scheduler], total: Callable[[Count], int]) -> Iterator[Family]:
    """What a server counted since its start, and what its schedulers have to do; `total` adds up its processes."""
    for which, (name, help_) in _COUNTERS.items():
        yield Family(name, "counter", help_, [({}, total(which))])
    if running := [one for one in schedulers if one.takes_workers]:
        yield from _scheduling(running)


def _scheduling(schedulers: Iterable[Scheduler]) -> Iterator[Family]:
    operations = list(chain.from_iterable(one.operations() for one in schedulers))
    stages = Counter(one.stage for one in operations)
    unsatisfiable = sum(one.unsatisfiable for one in operations)
    workers = Counter(one.readiness for scheduler in schedulers for one in scheduler.workers())
    yield _gauge("operations.queued", "Operations that wait.", stages[Stage.QUEUED])
    yield _gauge("operations.executing", "Operations that run.", stages[Stage.EXECUTING])
    yield _gauge("operations.unsatisfiable", "Operations that no connected worker could ever run.", unsatisfiable)
    connected = [({"state": str(state)}, float(workers[state])) for state in Readiness]
    yield Family("workers.connected", "gauge", "Workers that are connected, by their state.", connected)


def _gauge(name: str, help_: str, value: float) -> Family:
    return Family(name, "gauge", help_, [({}, value)])

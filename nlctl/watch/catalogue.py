"""Every number that `metrics` knows: its name, what it means, and where in a snapshot it stands. Pure.

Names and meanings are public: they may be added to, never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nlctl.watch.facts import PartFacts, Snapshot

Labels = Mapping[str, str]
Values = Iterator[tuple[Labels, float]]


@dataclass(frozen=True)
class Metric:
    """One number or, with labels, one for each of several things. A counter only grows while its part lives.

    `unit` is "bytes", "seconds", "ratio" or what is counted.
    """

    name: str
    kind: str
    unit: str
    help: str
    values: Callable[[Snapshot], Values]


@dataclass(frozen=True)
class Sample:
    """One value of a metric."""

    metric: Metric
    labels: Labels
    value: float

    @property
    def title(self) -> str:
        """The name with its labels: `server.calls{part=cas}`."""
        labels = ",".join(f"{name}={value}" for name, value in self.labels.items())
        return f"{self.metric.name}{{{labels}}}" if labels else self.metric.name


def samples(now: Snapshot) -> list[Sample]:
    """All values of a snapshot, in the order of the list below."""
    return [Sample(metric, labels, value) for metric in METRICS for labels, value in metric.values(now)]


def _of_parts(value: Callable[[PartFacts], float | None]) -> Callable[[Snapshot], Values]:
    def values(now: Snapshot) -> Values:
        for part in now.parts:
            if (found := value(part)) is not None:
                yield {"part": part.name}, found

    return values


def _counter(name: str) -> Callable[[Snapshot], Values]:
    return _of_parts(lambda part: part.counters.get(name))


def _cache(name: str) -> Callable[[Snapshot], Values]:
    def values(now: Snapshot) -> Values:
        for part in now.parts:
            for kind, numbers in part.caches.items():
                yield {"part": part.name, "cache_type": kind}, numbers[name]

    return values


def _store(name: str) -> Callable[[Snapshot], Values]:
    def values(now: Snapshot) -> Values:
        for part in now.parts:
            for layer in part.stores:
                if (value := getattr(layer, name)) is not None and (value or name != "max_bytes"):
                    yield {"part": part.name, "store": layer.path, "kind": layer.kind}, value

    return values


def _uptime(now: Snapshot) -> Values:
    for part in now.parts:
        if part.started:
            yield {"part": part.name}, max(0.0, now.when - part.started)


def _hit_ratio(now: Snapshot) -> Values:
    found, missed = now.total("found_results"), now.total("missed_results")
    if found + missed:
        yield {}, found / (found + missed)


def _connected(now: Snapshot) -> Values:
    for state in ("ready", "busy", "draining", "paused"):
        yield {"state": state}, sum(worker.state == state for worker in now.workers)


def _running(now: Snapshot) -> Values:
    for worker in now.workers:
        yield {"worker": worker.name}, len(worker.operations)


def _completed(now: Snapshot) -> Values:
    for worker in now.workers:
        yield {"worker": worker.name}, worker.completed


def _silent(now: Snapshot) -> Values:
    for worker in now.workers:
        yield {"worker": worker.name}, max(0.0, now.when - worker.last_seen)


def _one(value: Callable[[Snapshot], float | None]) -> Callable[[Snapshot], Values]:
    def values(now: Snapshot) -> Values:
        if (found := value(now)) is not None:
            yield {}, found

    return values


METRICS: Final = (
    Metric("part.up", "gauge", "parts", "1 where the part answers.", _of_parts(lambda part: float(not part.trouble))),
    Metric("part.uptime_seconds", "gauge", "seconds", "How long the part has been running.", _uptime),
    Metric(
        "part.ailments",
        "gauge",
        "ailments",
        "Stores and schedulers of the part that say that they are unwell.",
        _of_parts(lambda part: None if part.trouble else len(part.ailments)),
    ),
    Metric(
        "process.cpu_seconds",
        "counter",
        "seconds",
        "CPU time that the part's processes used, those of its actions included.",
        _of_parts(lambda part: part.cpu_seconds),
    ),
    Metric(
        "process.resident_bytes",
        "gauge",
        "bytes",
        "Memory that the part's processes hold; what several share counts for each.",
        _of_parts(lambda part: part.resident_bytes),
    ),
    Metric("process.count", "gauge", "processes", "Processes of the part.", _of_parts(lambda part: part.processes)),
    Metric(
        "process.restarts",
        "counter",
        "restarts",
        "How often the supervisor started the part again.",
        _of_parts(lambda part: part.restarts),
    ),
    Metric("server.calls", "counter", "calls", "Calls that were answered, in whatever way.", _counter("calls")),
    Metric(
        "server.failed_calls",
        "counter",
        "calls",
        "Calls that ended with an error status; a miss is one.",
        _counter("failed_calls"),
    ),
    Metric("server.received_bytes", "counter", "bytes", "Messages that came in.", _counter("received_bytes")),
    Metric("server.sent_bytes", "counter", "bytes", "Messages that went out.", _counter("sent_bytes")),
    Metric(
        "blobs.asked", "counter", "blobs", "Blobs that clients asked for by FindMissingBlobs.", _counter("asked_blobs")
    ),
    Metric("blobs.missing", "counter", "blobs", "Blobs among them that were missing.", _counter("missing_blobs")),
    Metric(
        "results.found",
        "counter",
        "results",
        "Results of actions that were asked for and there.",
        _counter("found_results"),
    ),
    Metric(
        "results.missed",
        "counter",
        "results",
        "Results of actions that were asked for and absent.",
        _counter("missed_results"),
    ),
    Metric(
        "cache.hit_ratio",
        "gauge",
        "ratio",
        "The share of the results asked for that were there, since the start.",
        _hit_ratio,
    ),
    Metric(
        "actions.finished",
        "counter",
        "actions",
        "Actions that a worker gave a result of.",
        _counter("finished_actions"),
    ),
    Metric(
        "actions.failed",
        "counter",
        "actions",
        "Actions that a worker could not run; each try counts.",
        _counter("failed_actions"),
    ),
    Metric("operations.queued", "gauge", "operations", "Operations that wait.", _one(lambda now: now.queue_length)),
    Metric("operations.executing", "gauge", "operations", "Operations that run.", _one(lambda now: now.running)),
    Metric(
        "operations.oldest_seconds",
        "gauge",
        "seconds",
        "How long the oldest waits; absent when none does.",
        _one(lambda now: now.oldest_seconds),
    ),
    Metric(
        "operations.unsatisfiable",
        "gauge",
        "operations",
        "Operations that no connected worker could ever run.",
        _one(lambda now: sum(one.unsatisfiable for one in now.queued)),
    ),
    Metric("workers.connected", "gauge", "workers", "Workers that are connected, by their state.", _connected),
    Metric("worker.running", "gauge", "actions", "Actions that the worker runs.", _running),
    Metric("worker.completed", "counter", "actions", "Actions that ended on it since it connected.", _completed),
    Metric("worker.silent_seconds", "gauge", "seconds", "How long the scheduler has not heard of it.", _silent),
    Metric("store.size_bytes", "gauge", "bytes", "What a layer of a store holds.", _store("size_bytes")),
    Metric("store.max_bytes", "gauge", "bytes", "What it may hold; absent without a limit.", _store("max_bytes")),
    Metric("store.values", "gauge", "values", "How many values it holds.", _store("values")),
    Metric("cache_type.hits", "counter", "values", "Values asked of a cache_metrics store and there.", _cache("hits")),
    Metric(
        "cache_type.misses", "counter", "values", "Values asked of a cache_metrics store and absent.", _cache("misses")
    ),
    Metric("cache_type.read_bytes", "counter", "bytes", "Bytes read through it.", _cache("read_bytes")),
    Metric("cache_type.writes", "counter", "values", "Values written through it.", _cache("writes")),
    Metric("cache_type.written_bytes", "counter", "bytes", "Bytes written through it.", _cache("written_bytes")),
    Metric("cache_type.removals", "counter", "values", "Values removed through it on demand.", _cache("removals")),
)

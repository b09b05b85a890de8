"""A cluster at one moment, as plain values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nlctl.admin import OperationFacts, QueueFacts, WorkerFacts
from nlctl.layers import Layer


@dataclass(frozen=True)
class PartFacts:
    """One part: what its supervisor, the machine and it itself say. What nobody could say is None or empty.

    `trouble` is why it does not answer, `ailments` what it says is wrong. `counters` and `caches` carry the names of
    admin.proto's Counters and CacheCounters; `started` is seconds since 1970.
    """

    name: str
    state: str = "unknown"
    pid: int | None = None
    restarts: int = 0
    trouble: str = ""
    version: str = ""
    started: float | None = None
    ailments: Sequence[str] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    caches: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    stores: Sequence[Layer] = ()
    cpu_seconds: float | None = None
    resident_bytes: int | None = None
    processes: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """Everything at one moment: `when` is seconds since 1970, `moment` the monotonic clock's.

    `queued` and `executing` are the oldest operations of their stage; `queue_length` and `running` how many there are.
    """

    cluster: str
    when: float
    moment: float
    parts: Sequence[PartFacts]
    workers: Sequence[WorkerFacts] = ()
    executing: Sequence[OperationFacts] = ()
    running: int = 0
    queued: Sequence[OperationFacts] = ()
    queue_length: int = 0
    queues: Sequence[QueueFacts] = ()

    def total(self, counter: str) -> int:
        """What all parts together counted."""
        return sum(part.counters.get(counter, 0) for part in self.parts)

    @property
    def slots(self) -> int | None:
        """How many actions all workers together take; None when one of them has no limit, or there is none."""
        most = [worker.most_operations for worker in self.workers]
        return sum(most) if most and all(most) else None

    @property
    def oldest_seconds(self) -> float | None:
        """How long the oldest queued operation waits; None when none does."""
        return max((max(0.0, self.when - one.queued) for one in self.queued), default=None)

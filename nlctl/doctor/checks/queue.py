"""What waits, and whether it will ever run: NEVER, BUSY or WEDGED."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Final, NamedTuple

from nlctl.admin import OperationFacts, WorkerFacts, explain, operations
from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.checks.seats import declared_properties, values_of
from nlctl.doctor.finding import PROPERTIES, Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import Fault, fix
from nlctl.registry import Level

_WEDGED_SECONDS: Final = 30.0
_MOST: Final = 1000


class Queue(NamedTuple):
    """The oldest that wait, how many they are in all, and who could take the oldest that can run at this moment.

    `most_seconds` is how long one may wait while all are taken. `offers` tells of each property how the scheduler
    compares it and what workers offer.
    """

    waiting: Sequence[OperationFacts]
    length: int
    free: Sequence[str]
    now: float
    most_seconds: float
    offers: Mapping[str, str] = MappingProxyType({})
    parts: Sequence[str] = ()
    """The scheduler and its workers, where their configs are in reach."""


async def _queue(site: Site) -> Queue:
    seen = await site.overview()
    parts = ("scheduler", *(one.name for one in seen.workers)) if site.target.cluster else ()
    stuck = [one for one in seen.queued if one.unsatisfiable]
    now, oldest = time.time(), _oldest(seen.queued)
    free: Sequence[str] = ()
    if oldest is not None and now - oldest.queued > _WEDGED_SECONDS:
        free = await asyncio.to_thread(_free, site.admin, oldest.id)
    offers = await _offers(site, stuck, seen.workers)
    return Queue(seen.queued, seen.queue_length, free, now, site.patience.waits, offers, parts)


def _oldest(waiting: Sequence[OperationFacts]) -> OperationFacts | None:
    """The oldest that some worker could run."""
    return min((one for one in waiting if not one.unsatisfiable), key=lambda one: one.queued, default=None)


def _free(endpoint: str, operation: str) -> Sequence[str]:
    """The workers that could take an operation at this moment, none where it has been taken."""
    from nlserver.errors import Error

    try:
        found = [one.worker for one in explain(endpoint, operation).workers if one.verdict == "now"]
        waiting, _ = operations(endpoint, ["queued"], _MOST)
    except Error:
        return ()
    return found if any(one.id == operation for one in waiting) else ()


async def _offers(site: Site, stuck: Sequence[OperationFacts], workers: Sequence[WorkerFacts]) -> Mapping[str, str]:
    """Of each property that is asked in vain."""
    declared: Mapping[str, str] = {}
    with suppress(NotHere, Fault):
        declared = await declared_properties(site) if stuck else {}
    names = {name for one in stuck for name in one.properties}
    return {
        name: f"compared as {declared.get(name, 'unlisted')}, offered: {values_of(workers, name) or 'by none'}"
        for name in names
    }


def judge_never(queue: Queue) -> Iterable[Finding]:
    """Whether something waits that no worker could ever run."""
    stuck = [one for one in queue.waiting if one.unsatisfiable]
    if not stuck:
        return [ok("nothing waits that no worker could run" if queue.length else "nothing waits")]
    first = stuck[0]
    waited = queue.now - first.queued
    return [
        Finding(
            Verdict.FAILED,
            f"NEVER: {len(stuck)} operations match no worker{f': {first.explanation}' if first.explanation else ''}",
            "they wait without an error until a worker comes that offers what they ask for",
            (
                Evidence(first.id, f"waits {waited:.0f}s", "ListOperations"),
                *(
                    Evidence(name, f"asked {', '.join(values)}; {queue.offers[name]}", "supported_platform_properties")
                    for name, values in first.properties.items()
                    if name in queue.offers
                ),
            ),
            remedies=tuple(Remedy("recorded", (part, PROPERTIES)) for part in queue.parts),
            fixes=(
                fix("see it worker by worker", "nlctl", "queue", "explain", first.id),
                fix("change the client's properties, or offer them", "nlctl", "workers", "add", "--property", "K=V"),
                fix("or end it", "nlctl", "ops", "cancel", first.id),
            ),
        )
    ]


def judge_waiting(queue: Queue) -> Iterable[Finding]:
    """Whether what could run waits too long."""
    oldest = _oldest(queue.waiting)
    if oldest is None:
        return [ok("nothing waits for a worker")]
    waited = queue.now - oldest.queued
    evidence = (
        Evidence(oldest.id, f"waits {waited:.0f}s, {oldest.attempts} attempts", "ListOperations"),
        Evidence("workers with room for it", ", ".join(queue.free) or "none", "ExplainOperation"),
    )
    explain = fix("see it worker by worker", "nlctl", "queue", "explain", oldest.id)
    if queue.free:
        what = f"WEDGED: an operation waits for {waited:.0f}s, and {queue.free[0]} has room for it"
        return [
            Finding(Verdict.FAILED, what, "", evidence, (explain, fix("see the log", "nlctl", "logs", "scheduler")))
        ]
    if waited > queue.most_seconds:
        what = f"BUSY: the oldest of {queue.length} operations waits for {waited:.0f}s"
        more = fix("run more workers", "nlctl", "scale", "8")
        return [Finding(Verdict.WARNING, what, "all workers are taken", evidence, (more, explain))]
    return [ok(f"{queue.length} wait, the oldest for {waited:.0f}s", *evidence)]


CHECKS: Final = (
    Check(
        "NLD-QUE-01",
        "queue",
        "nothing waits that no worker could run",
        Level.ADMIN,
        "the explanation of everything that waits; what it asks, how that is compared, what is offered, key by key",
        "failed: NEVER",
        "the property, in the client or on a worker",
        _queue,
        judge_never,
        needs=("NLD-WRK-01",),
        repairs=("recorded",),
        by_hand="a property that only the client asks for is changed there",
    ),
    Check(
        "NLD-QUE-02",
        "queue",
        "nothing waits long",
        Level.ADMIN,
        "the age of the oldest operation that could run, and which workers have room for it",
        "failed: WEDGED, a worker has room for it; warning: BUSY for more than five minutes, or --waits",
        "more workers, or the scheduler's log",
        _queue,
        judge_waiting,
        needs=("NLD-WRK-01",),
        by_hand="more workers take more of the machine; why an idle one gets nothing stands in the scheduler's log",
    ),
)

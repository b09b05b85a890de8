"""The workers that the scheduler sees, beside those that ought to be there."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from nlctl.admin import Admin, WorkerFacts
from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import ADDRESSES, Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.launch.containers import awaited
from nlctl.registry import Level
from nlctl.worker_ids import worker_name

_WINDOW_SECONDS: Final = 60.0
_MOST_LOSSES: Final = 3
_SILENT_SECONDS: Final = 15.0
_LEFT: Final = "Evicting worker from pool"
_IN_ORDER: Final = "the worker is going away"


class Seats(NamedTuple):
    """The workers that ought to be there (None when nobody wrote it down), and those that are."""

    expected: Sequence[str] | None
    seen: Sequence[WorkerFacts]
    now: float


async def _seats(site: Site) -> Seats:
    seen = (await site.overview()).workers
    if site.target.cluster is None:
        return Seats(None, seen, time.time())
    record, reports = site.record, await site.reports()
    expected = awaited(record.containers, record.workers, reports, {one.name for one in seen})
    return Seats(expected, seen, time.time())


def judge_registered(seats: Seats) -> Iterable[Finding]:
    """Whether those are connected that ought to be."""
    names = [one.name for one in seats.seen]
    evidence = (Evidence("connected", str(len(names)), "ListWorkers"),)
    absent = [name for name in seats.expected or () if name not in names]
    if absent:
        yield Finding(
            Verdict.FAILED,
            f"not registered with the scheduler: {', '.join(absent)}",
            "a worker registers when its config, its stores and its way to the worker API are right",
            evidence,
            (fix("see what it says", "nlctl", "logs", absent[0], "--tail", "50"), fix("start it", "nlctl", "up")),
            remedies=tuple(Remedy("recorded", (name, ADDRESSES)) for name in absent),
        )
    elif not names:
        because = "actions are accepted and wait for ever"
        yield Finding(Verdict.FAILED, "no worker is connected", because, evidence, (fix("start one"),))
    else:
        yield ok(f"{len(names)} workers are connected", *evidence)


def judge_states(seats: Seats) -> Iterable[Finding]:
    """Whether each worker takes work and gives signs of life."""
    found = []
    for one in seats.seen:
        if one.state in ("draining", "paused"):
            back = fix("give it work again", "nlctl", "workers", "uncordon", one.name)
            evidence = (Evidence("state", one.state, "ListWorkers"),)
            remedies = (Remedy("uncordon", (one.name,)),)
            what = f"{one.name} is {one.state}"
            found.append(Finding(Verdict.WARNING, what, "", evidence, (back,), remedies=remedies))
        if one.last_seen and seats.now - one.last_seen > _SILENT_SECONDS:
            silent = seats.now - one.last_seen
            evidence = (Evidence("last seen", f"{silent:.0f}s ago", "ListWorkers"),)
            look = fix("see what it does", "nlctl", "logs", one.name)
            what, remedies = f"{one.name} is silent for {silent:.0f}s", (Remedy("restart_parts", (one.name,)),)
            found.append(Finding(Verdict.WARNING, what, "", evidence, (look,), remedies=remedies))
    return found or [ok("every worker takes work")]


async def _losses(site: Site) -> Mapping[str, int]:
    """How often the scheduler lost each worker within the last minute; one that signs off is not lost.

    Nor is one whose process ended.
    """
    socket = (await site.sockets()).get("scheduler")
    if socket is None:
        raise NotHere("the scheduler does not run")
    now = time.time()
    # A process that ended takes its worker with it, and that is told of the process.
    began = {one.name: now - one.since_ms / 1000 for one in await site.reports()}
    return await asyncio.to_thread(_counted, socket, now - _WINDOW_SECONDS, began)


def _counted(socket: str, since: float, began: Mapping[str, float]) -> Mapping[str, int]:
    """Since then, and since the present process of each worker began to serve."""
    from nlserver.proto import admin_pb2

    with Admin(socket) as admin:
        events = admin.stream("WatchEvents", admin_pb2.WatchEventsRequest(level="info"))
        lost = [
            (worker_name(one.facts["worker_id"]), one.when.seconds)
            for one in events
            if one.event == _LEFT and one.facts["reason"] != _IN_ORDER
        ]
    return Counter(name for name, when in lost if when >= max(since, began.get(name, 0.0)))


def judge_losses(counts: Mapping[str, int]) -> Iterable[Finding]:
    """Whether some worker comes and goes."""
    found = [
        Finding(
            Verdict.WARNING,
            f"{name} was lost {count} times in {_WINDOW_SECONDS:.0f}s",
            "each time the actions that it runs are lost and start again elsewhere",
            (Evidence("losses", str(count), "events of the scheduler"),),
            (
                fix("see why it leaves", "nlctl", "logs", name, "--tail", "50"),
                fix("when its signs of life come late: raise worker_timeout_s of the scheduler"),
            ),
        )
        for name, count in counts.items()
        if count >= _MOST_LOSSES
    ]
    return found or [ok("no worker comes and goes")]


async def _versions(site: Site) -> Mapping[str, str]:
    """The version of each part that answers."""
    return {name: said.version for name, said in (await site.parts()).items()}


def judge_versions(versions: Mapping[str, str]) -> Iterable[Finding]:
    """Whether all parts run the same version."""
    if len(set(versions.values())) > 1:
        evidence = tuple(Evidence(part, version, "GetPart") for part, version in versions.items())
        remedy = fix("bring all to this one", "nlctl", "restart", "--rolling")
        because = "parts of different versions are tested with each other one release apart"
        return [Finding(Verdict.WARNING, "the parts run different versions", because, evidence, (remedy,))]
    return [ok(f"all parts run {next(iter(versions.values()), 'the same version')}")]


CHECKS: Final = (
    Check(
        "NLD-WRK-01",
        "workers",
        "the workers that ought to be there are",
        Level.ADMIN,
        "the workers of the record beside those that the scheduler sees",
        "failed: some are absent, or none is there",
        "the log of the one that is absent; `nlctl up`",
        _seats,
        judge_registered,
        needs=("NLD-NET-01", "NLD-PRC-01", "NLD-NET-02"),
        repairs=("recorded",),
        by_hand="why a worker does not come stands in its log",
    ),
    Check(
        "NLD-WRK-02",
        "workers",
        "no worker comes and goes",
        Level.ADMIN,
        "workers that the scheduler lost, in its events of the last minute",
        "warning: three or more of one worker",
        "its log, or a longer worker_timeout_s",
        _losses,
        judge_losses,
        needs=("NLD-WRK-01",),
        by_hand="why a worker leaves stands in its log; how long to wait for it is a choice",
    ),
    Check(
        "NLD-WRK-03",
        "workers",
        "every worker takes work",
        Level.ADMIN,
        "state and last sign of life of each worker",
        "warning: draining, paused or silent",
        "uncordon it, or see its log",
        _seats,
        judge_states,
        needs=("NLD-WRK-01",),
        repairs=("uncordon", "restart_parts"),
    ),
    Check(
        "NLD-WRK-05",
        "workers",
        "all parts run one version",
        Level.ADMIN,
        "the version that each part tells",
        "warning: they differ",
        "`nlctl restart --rolling`",
        _versions,
        judge_versions,
        needs=("NLD-PRC-01",),
        by_hand="when to change the version of what runs is a choice",
    ),
)

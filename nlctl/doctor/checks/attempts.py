"""Operations that come back again and again, and those that run and never end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from nlctl.admin import OperationFacts, operations, workers
from nlctl.doctor.check import Check
from nlctl.doctor.finding import Evidence, Finding, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level
from nlctl.ui import human_span
from nlctl.worker_ids import worker_name

_MANY_ATTEMPTS: Final = 3
_AGAIN_SECONDS: Final = 1.0
_MOST: Final = 1000


class Running(NamedTuple):
    """What waits and runs, and how long one may run.

    `lost` are those that run on a worker which was not connected at two looks in turn.
    """

    waiting: Sequence[OperationFacts]
    executing: Sequence[OperationFacts]
    lost: Sequence[OperationFacts]
    now: float
    most_seconds: float


async def _running(site: Site) -> Running:
    executing = await site.executing()
    seen = await site.overview()
    known = {one.id for one in seen.workers}
    lost = [one for one in executing if one.worker and one.worker not in known]
    if lost:
        # The two lists are of different instants.
        await asyncio.sleep(_AGAIN_SECONDS)
        again, _ = await asyncio.to_thread(operations, site.admin, ["executing"], _MOST)
        still = {(one.id, one.worker) for one in again}
        known = {one.id for one in await asyncio.to_thread(workers, site.admin)}
        lost = [one for one in lost if (one.id, one.worker) in still and one.worker not in known]
    return Running(seen.queued, executing, lost, time.time(), site.patience.runs)


def judge_attempts(running: Running) -> Iterable[Finding]:
    """Whether something was started again and again."""
    again = [one for one in (*running.waiting, *running.executing) if one.attempts >= _MANY_ATTEMPTS]
    if not again:
        return [ok("nothing was started more than twice")]
    first = max(again, key=lambda one: one.attempts)
    return [
        Finding(
            Verdict.WARNING,
            f"{len(again)} operations were started {_MANY_ATTEMPTS} times or more and came back",
            "a worker that takes an action and loses it, is dropped or refuses it gives it back to the queue",
            (Evidence(first.id, f"{first.attempts} attempts", "ListOperations"),),
            (
                fix("see what happened to it", "nlctl", "ops", "show", first.id),
                fix("see why workers gave it back", "nlctl", "logs", "--op", first.id),
            ),
        )
    ]


def judge_ends(running: Running) -> Iterable[Finding]:
    """Whether what runs can end."""
    if running.lost:
        first = running.lost[0]
        what = f"{len(running.lost)} operations run on workers that are not connected: {worker_name(first.worker)}"
        evidence = (Evidence(first.id, f"for {running.now - first.since:.0f}s", "ListOperations, ListWorkers"),)
        end = fix("end it, the client asks again", "nlctl", "ops", "cancel", first.id)
        see = fix("see the log", "nlctl", "logs", "scheduler")
        return [Finding(Verdict.FAILED, what, "nobody is left who could tell how they end", evidence, (end, see))]
    long = [one for one in running.executing if running.now - one.since > running.most_seconds]
    if long:
        first = long[0]
        spent, most = (human_span(1000 * one) for one in (running.now - first.since, running.most_seconds))
        what = f"{len(long)} operations run for more than {most}, the longest for {spent}"
        evidence = (Evidence(first.id, first.target or first.mnemonic or first.action.written, "ListOperations"),)
        remedies = (
            fix("see what it does", "nlctl", "ops", "show", first.id),
            fix("end it", "nlctl", "ops", "cancel", first.id),
        )
        because = "a test that waits for something takes its worker's place for as long as it is let"
        return [Finding(Verdict.WARNING, what, because, evidence, remedies, certain=False)]
    return [ok(f"{len(running.executing)} operations run, each on a worker that is there")]


async def _shared(site: Site) -> Running:
    return await site.once("running", lambda: _running(site))


CHECKS: Final = (
    Check(
        "NLD-QUE-03",
        "queue",
        "nothing is started again and again",
        Level.ADMIN,
        "the attempts of everything that waits and runs",
        "warning: three or more",
        "the worker's log",
        _shared,
        judge_attempts,
        needs=("NLD-WRK-01",),
        by_hand="why workers give it back stands in their logs",
    ),
    Check(
        "NLD-QUE-04",
        "queue",
        "what runs can end",
        Level.ADMIN,
        "the worker of each operation that runs, and for how long",
        "failed: its worker is not connected; warning: more than an hour, or --runs",
        "`ops cancel`",
        _shared,
        judge_ends,
        needs=("NLD-WRK-01",),
        by_hand="ending it fails the build that waits for it",
    ),
)

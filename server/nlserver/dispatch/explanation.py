"""Why a queued operation does not run: a sentence for people, and the verdict on each worker."""

from __future__ import annotations

from collections.abc import Iterable

from nlserver.dispatch.matching import differences, shortages
from nlserver.dispatch.model import Explanation, Verdict, WorkerVerdict
from nlserver.dispatch.properties import Needs
from nlserver.dispatch.records import Worker

NOBODY = "no worker is connected"


def explain(needs: Needs, workers: Iterable[Worker]) -> Explanation:
    """The verdict on every worker, and a summary that names the one that came nearest."""
    judged = [(worker, _obstacles(needs, worker)) for worker in workers]
    if not judged:
        return Explanation(Verdict.NEVER, NOBODY)
    verdicts = tuple(
        WorkerVerdict(worker.id, worker.name, verdict, " and ".join(reasons)) for worker, (verdict, reasons) in judged
    )
    worker, (verdict, reasons) = min(judged, key=lambda each: (_BEST_FIRST.index(each[1][0]), len(each[1][1])))
    return Explanation(verdict, sentence(worker, reasons), verdicts)


def sentence(worker: Worker, reasons: list[str]) -> str:
    """`worker-1 offers cpu_arch=x86_64, asked arm64 and offers no gpu, asked 1`; without reasons it is free."""
    return f"{worker.name} {' and '.join(reasons)}" if reasons else f"{worker.name} is free"


_BEST_FIRST = (Verdict.NOW, Verdict.BUSY, Verdict.NEVER)


def _obstacles(needs: Needs, worker: Worker) -> tuple[Verdict, list[str]]:
    never = list(differences(needs, worker.has))
    if never:
        return Verdict.NEVER, never
    busy = [*_unavailability(worker), *shortages(needs, worker.has, worker.remaining)]
    return (Verdict.BUSY, busy) if busy else (Verdict.NOW, [])


def _unavailability(worker: Worker) -> Iterable[str]:
    if worker.draining:
        yield "is draining"
    if worker.paused:
        yield f"said that it is exhausted ({worker.paused})"
    if worker.full:
        yield f"runs {len(worker.runs)} of {worker.offer.max_inflight_tasks} actions"

"""Why an action waits, was slow, or failed: one verdict from what the scheduler, the cache and the CAS tell. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from nlserver.reapi.digest import Digest

from nlctl.admin import Explanation, OperationFacts
from nlctl.doctor.finding import Evidence
from nlctl.faults import Fix, fix
from nlctl.ui import human_span
from nlctl.worker_ids import worker_name

_SLOW_MS: Final = 1000.0
_SLOWER: Final = 3.0
"""A stage is slow from a second on, where it took so many times what is typical."""
_WEDGED_SECONDS: Final = 30.0
STAGES: Final = {
    "queued_ms": "waiting for a worker",
    "inputs_ms": "fetching inputs",
    "ran_ms": "running",
    "outputs_ms": "uploading outputs",
}


class Cause(StrEnum):
    """How an action is. The names are stable."""

    NEVER = "NEVER"
    """It waits, and no connected worker could ever run it."""
    BUSY = "BUSY"
    """It waits until a worker has room."""
    NOW = "NOW"
    """It could run at once: it waits only for a moment, or was not asked for."""
    WEDGED = "WEDGED"
    """It waits, though a worker could run it now."""
    RUNNING = "RUNNING"
    """A worker runs it."""
    MISSING_INPUTS = "MISSING_INPUTS"
    """The CAS lacks what it needs."""
    TIMED_OUT = "TIMED_OUT"
    """It ran longer than it may."""
    REFUSED = "REFUSED"
    """It asks for what no worker does."""
    LOST_WORKERS = "LOST_WORKERS"
    """Workers were lost, or failed, too often while they ran it."""
    FAILED = "FAILED"
    """It could not be brought to its end."""
    COMMAND_FAILED = "COMMAND_FAILED"
    """Its command ended with another status than 0."""
    SLOW = "SLOW"
    """It ended well, and a stage took far longer than is usual here."""
    OK = "OK"
    """It ended well, in the usual time."""


BAD: Final = frozenset(Cause) - {Cause.BUSY, Cause.NOW, Cause.RUNNING, Cause.SLOW, Cause.OK}
"""Those of which something must be mended."""


@dataclass(frozen=True)
class Ended:
    """How an execution ended: the stages by the keys of STAGES, None for what the server does not tell."""

    exit_code: int
    worker: str
    stages: Mapping[str, float | None]
    stderr: str = ""
    cached: bool = False


@dataclass(frozen=True)
class Facts:
    """Everything that is known of an action. `operation` is the latest that the scheduler remembers.

    `explanation` is of an operation that waits, or of an action that was not asked for now. `missing` are blobs that
    it needs and the CAS lacks. `typical` are the medians of so many other results.
    """

    action: Digest
    operation: OperationFacts | None = None
    explanation: Explanation | None = None
    missing: Sequence[Digest] = ()
    timeout_seconds: float = 0.0
    ended: Ended | None = None
    typical: Mapping[str, float | None] = field(default_factory=dict)
    samples: int = 0
    now: float = 0.0


@dataclass(frozen=True)
class Diagnosis:
    """The verdict with its reasons."""

    cause: Cause
    what: str
    because: str = ""
    evidence: tuple[Evidence, ...] = ()
    fixes: tuple[Fix, ...] = ()


def diagnose(facts: Facts) -> Diagnosis:
    """The one verdict."""
    return next(_verdicts(facts))


def _verdicts(facts: Facts) -> Iterator[Diagnosis]:
    """What can be said; the last always comes."""
    operation, ended = facts.operation, facts.ended
    if operation is not None and operation.ending is not None and operation.ending.failure:
        yield _failed(facts, operation, operation.ending.failure)
    if operation is not None and not operation.completed:
        yield _waits(facts, operation) if operation.stage == "queued" else _runs(facts, operation)
    if ended is not None and ended.exit_code:
        yield _command_failed(facts, ended.exit_code, ended.worker, ended.stderr)
    if operation is not None and operation.ending is not None and operation.ending.exit_code:
        yield _command_failed(facts, operation.ending.exit_code, worker_name(operation.worker), "")
    if ended is not None:
        yield _slow_or_well(facts, ended)
    if facts.missing:
        yield _missing(facts, "")
    yield _idle(facts)


def _failed(facts: Facts, operation: OperationFacts, failure: str) -> Diagnosis:
    words = failure.lower()
    evidence = (
        Evidence("failure", failure, "ending of the operation"),
        *_of_operation(operation),
    )
    if facts.missing or "missing" in words or "not found" in words:
        return _missing(facts, failure)
    if "greater than the maximum" in words or "invalid_argument" in words:
        return Diagnosis(
            Cause.REFUSED,
            f"workers refuse it: {failure}",
            "nothing that is tried again changes what it asks for",
            evidence,
            (
                fix("see what it asks for", "nlctl", "action", "show", facts.action.written),
                fix("see the limits of the workers", "nlctl", "doctor", "config"),
            ),
        )
    if "timed out" in words or "deadline" in words or "timeout" in words:
        limit = f"; its own limit is {facts.timeout_seconds:g} s" if facts.timeout_seconds else ""
        return Diagnosis(
            Cause.TIMED_OUT,
            f"it ran longer than it may{limit}",
            failure,
            evidence,
            (
                fix("raise the timeout of the test or of the action, or max_action_timeout_s of the workers"),
                fix("see where it hangs", "nlctl", "action", "local", facts.action.written),
            ),
        )
    if operation.attempts > 1 or "too many times" in words or "worker" in words:
        return Diagnosis(
            Cause.LOST_WORKERS,
            f"it was tried {operation.attempts + 1} times, and no worker brought it to its end",
            failure,
            evidence,
            (
                fix("see what the last worker says", "nlctl", "logs", "--action", facts.action.written),
                fix("examine the workers", "nlctl", "doctor", "workers"),
            ),
        )
    return Diagnosis(
        Cause.FAILED,
        f"it could not be brought to its end: {failure}",
        "",
        evidence,
        (fix("see the log", "nlctl", "logs", "--action", facts.action.written),),
    )


def _missing(facts: Facts, failure: str) -> Diagnosis:
    first = facts.missing[0].written if facts.missing else facts.action.written
    return Diagnosis(
        Cause.MISSING_INPUTS,
        _lacking(facts, first),
        failure or "no worker can run it without them",
        tuple(Evidence("missing", one.written, "FindMissingBlobs") for one in facts.missing[:8]),
        (
            fix("find out why", "nlctl", "doctor", "object", first),
            fix("let the client upload it again: build anew, or nlctl cas put"),
        ),
    )


def _lacking(facts: Facts, first: str) -> str:
    if facts.action in facts.missing:
        return "the action itself is not in the CAS"
    if not facts.missing:
        return "something that it needs was not in the CAS"
    if len(facts.missing) == 1:
        return f"{first}, which it needs, is not in the CAS"
    return f"{len(facts.missing)} of the blobs that it needs are not in the CAS, the first is {first}"


def _waits(facts: Facts, operation: OperationFacts) -> Diagnosis:
    waited = max(0.0, facts.now - operation.queued)
    evidence = (Evidence("waits", human_span(waited * 1000), "ListOperations"), *_of_workers(facts.explanation))
    explain = fix("see it worker by worker", "nlctl", "queue", "explain", operation.id)
    summary = (facts.explanation.summary if facts.explanation else "") or operation.explanation
    if operation.unsatisfiable or (facts.explanation and facts.explanation.unsatisfiable):
        return Diagnosis(
            Cause.NEVER,
            f"it has waited {human_span(waited * 1000)} and will wait for ever",
            summary,
            evidence,
            (
                fix("ask for what workers offer, or offer it", "nlctl", "workers", "add", "--property", "K=V"),
                explain,
                fix("or end it", "nlctl", "ops", "cancel", operation.id),
            ),
        )
    free = [one.worker for one in facts.explanation.workers if one.verdict == "now"] if facts.explanation else []
    if free and waited > _WEDGED_SECONDS:
        return Diagnosis(
            Cause.WEDGED,
            f"it has waited {human_span(waited * 1000)}, and {free[0]} could run it now",
            "the scheduler does not give it away",
            evidence,
            (fix("see the log", "nlctl", "logs", "scheduler"), fix("examine the queue", "nlctl", "doctor", "queue")),
        )
    if free:
        return Diagnosis(Cause.NOW, f"it is about to run: {free[0]} has room", summary, evidence)
    return Diagnosis(
        Cause.BUSY,
        f"it has waited {human_span(waited * 1000)} for a worker with room",
        summary or "every worker that could run it is busy",
        evidence,
        (fix("run more workers", "nlctl", "scale", "8"), explain),
    )


def _runs(facts: Facts, operation: OperationFacts) -> Diagnosis:
    since = max(0.0, facts.now - operation.since)
    limit = f", of {facts.timeout_seconds:g} s at most" if facts.timeout_seconds else ""
    return Diagnosis(
        Cause.RUNNING,
        f"{worker_name(operation.worker) or 'a worker'} has run it for {human_span(since * 1000)}{limit}",
        f"{operation.attempts} attempts before this one came to nothing" if operation.attempts else "",
        tuple(_of_operation(operation)),
        (
            fix("wait for its end", "nlctl", "ops", "watch", operation.id),
            fix("see what the parts say of it", "nlctl", "logs", "--op", operation.id),
        ),
    )


def _command_failed(facts: Facts, code: int, worker: str, stderr: str) -> Diagnosis:
    tail = stderr.strip().splitlines()[-3:]
    operation = facts.operation
    retried = f" after {operation.attempts} attempts that came to nothing" if operation and operation.attempts else ""
    return Diagnosis(
        Cause.COMMAND_FAILED,
        f"its command ended with {code}{f' on {worker}' if worker else ''}{retried}",
        f"it says: {' / '.join(tail)}" if tail else "the cluster did its part",
        tuple(_of_stages(facts)),
        (
            fix("run it here with its inputs", "nlctl", "action", "local", facts.action.written),
            fix("see whether it fails everywhere", "nlctl", "action", "replay", facts.action.written, "--no-cache"),
        ),
    )


def _slow_or_well(facts: Facts, ended: Ended) -> Diagnosis:
    spent = {key: took for key, took in ended.stages.items() if took is not None}
    slow = [
        (took, key)
        for key, took in spent.items()
        if took > _SLOW_MS and (usual := facts.typical.get(key)) is not None and took > _SLOWER * max(usual, 1.0)
    ]
    evidence = tuple(_of_stages(facts))
    where = f" on {ended.worker}" if ended.worker else ""
    total = human_span(sum(spent.values())) if spent else "a time that is not told"
    if not slow:
        cached = "; the action cache has its result" if ended.cached else ""
        return Diagnosis(Cause.OK, f"it ended well{where} after {total}{cached}", "", evidence)
    took, key = max(slow)
    usual = facts.typical[key] or 0.0
    return Diagnosis(
        Cause.SLOW,
        f"{STAGES[key]} took {human_span(took)}{where}; {human_span(usual)} is usual here",
        _WHY_SLOW[key],
        evidence,
        _FASTER[key],
    )


_WHY_SLOW: Final = {
    "queued_ms": "more was asked for than there were slots, or few workers have what it asks for",
    "inputs_ms": "its inputs were not in the worker's fast tier, or the CAS is slow",
    "ran_ms": "the command itself: more to do than others, or a worker that is overloaded",
    "outputs_ms": "its outputs are large, or the CAS is slow to take them",
}
_FASTER: Final = {
    "queued_ms": (fix("run more workers", "nlctl", "scale", "8"), fix("see what waits", "nlctl", "queue", "ls")),
    "inputs_ms": (fix("see what it needs", "nlctl", "action", "inputs", "@last"), fix("larger fast tiers")),
    "ran_ms": (fix("see what workers do", "nlctl", "top"),),
    "outputs_ms": (fix("measure the CAS", "nlctl", "bench", "cas"),),
}


def _idle(facts: Facts) -> Diagnosis:
    found = facts.explanation
    if found is not None and found.unsatisfiable:
        return Diagnosis(
            Cause.NEVER,
            "no worker could run it",
            found.summary,
            tuple(_of_workers(found)),
            (fix("ask for what workers offer, or offer it", "nlctl", "workers", "add", "--property", "K=V"),),
        )
    return Diagnosis(
        Cause.NOW,
        "nobody asks for it now, and there is no result; its action and inputs are in the CAS",
        found.summary if found else "",
        tuple(_of_workers(found)),
        (fix("run it", "nlctl", "action", "replay", facts.action.written),),
    )


def _of_operation(operation: OperationFacts) -> Iterator[Evidence]:
    yield Evidence("operation", operation.id, "ListOperations")
    if operation.worker:
        yield Evidence("worker", worker_name(operation.worker), "ListOperations")
    yield Evidence("attempts before", str(operation.attempts), "ListOperations")


def _of_workers(found: Explanation | None) -> Iterator[Evidence]:
    for one in (found.workers if found else ())[:8]:
        yield Evidence(one.worker, f"{one.verdict}{f': {one.reason}' if one.reason else ''}", "Explain")


def _of_stages(facts: Facts) -> Iterator[Evidence]:
    for key, name in STAGES.items():
        took = facts.ended.stages.get(key) if facts.ended else None
        usual = facts.typical.get(key)
        if took is not None:
            beside = f", usually {human_span(usual)}" if usual is not None else ""
            yield Evidence(name, human_span(took) + beside, "ExecutedActionMetadata")

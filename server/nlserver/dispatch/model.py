"""The values of dispatch: what clients ask, what workers offer, how operations and workers stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from nlserver.dispatch.enclosure import Enclosure
from nlserver.errors import Code
from nlserver.reapi.digest import Digest

Properties = tuple[tuple[str, str], ...]
"""Platform properties by name and value, in the order in which they were announced."""


class Stage(IntEnum):
    """Where an operation stands, by the numbers of the REAPI v2 (ExecutionStage)."""

    QUEUED = 2
    EXECUTING = 3
    COMPLETED = 4


@dataclass(frozen=True, slots=True)
class Origin:
    """What a client says of itself (REAPI v2, RequestMetadata): its tool's invocation, the target, the kind of action.

    All are empty where it says nothing. For people alone: nothing is decided by it.
    """

    invocation: str = ""
    target: str = ""
    mnemonic: str = ""


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """What one Execute call asks for. A lower `priority` runs sooner (REAPI v2, ExecutionPolicy).

    `enclosure` spares the worker two questions; nothing depends on it, nor on `origin`.
    """

    instance: str
    action: Digest
    properties: Properties = ()
    priority: int = 0
    skip_cache_lookup: bool = False
    do_not_cache: bool = False
    enclosure: Enclosure | None = field(default=None, compare=False, repr=False)
    origin: Origin = field(default=Origin(), compare=False)

    @property
    def shareable(self) -> bool:
        """Whether this request may share one execution with equal requests (REAPI v2, Execute)."""
        return not (self.skip_cache_lookup or self.do_not_cache)

    @property
    def key(self) -> tuple[str, Digest]:
        """What makes two requests equal: the instance and the action's digest with its function."""
        return self.instance, self.action


@dataclass(frozen=True, slots=True)
class Response:
    """The end of an execution that a worker reported: a serialised ExecuteResponse, never looked into here."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """The end of an attempt, or of an operation, without an ExecuteResponse of a worker.

    `missing` holds the subjects of blobs that the client must upload again (`errors.Error`).
    """

    code: Code
    message: str
    missing: tuple[str, ...] = ()


Outcome = Response | Failure


@dataclass(frozen=True, slots=True)
class OperationState:
    """One operation at one moment, as one of its waiters sees it. Times are those of the events (`now`).

    `name` is what the waiter calls it, `operation` its own id, which all its waiters and the logs share. `attempts`
    counts runs that failed for reasons other than the action's own. `explanation` is set while it is queued and no
    connected worker could ever run it; then `unsatisfiable` is true. `outcome` is set exactly when it is completed.
    """

    name: str
    operation: str
    request: ActionRequest
    priority: int
    stage: Stage
    since: float
    queued: float
    worker_id: str = ""
    attempts: int = 0
    waiters: int = 0
    explanation: str = ""
    unsatisfiable: bool = False
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class WorkerOffer:
    """What a worker announces: its configured name, its properties, how many actions it takes (None: any number)."""

    name: str
    properties: Properties = ()
    max_inflight_tasks: int | None = None


class Readiness(StrEnum):
    """Whether a worker takes work, and why not."""

    READY = "ready"
    BUSY = "busy"
    DRAINING = "draining"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One connected worker at one moment. `remaining` is what is left of its countable properties."""

    id: str
    offer: WorkerOffer
    readiness: Readiness
    remaining: Properties
    operations: tuple[str, ...]
    connected: float
    last_seen: float
    completed: int


class Verdict(StrEnum):
    """Could this worker run that operation? From best to worst."""

    NOW = "now"
    BUSY = "busy"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class WorkerVerdict:
    """The verdict on one worker and the reason in words, empty for NOW."""

    worker_id: str
    worker_name: str
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a queued operation does not run: the best verdict, a sentence about the nearest worker, and all verdicts."""

    verdict: Verdict
    summary: str
    workers: tuple[WorkerVerdict, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the machine enforces; seconds are positive, None turns a limit off."""

    max_job_retries: int = 3
    worker_timeout: float = 5
    client_action_timeout: float = 60
    max_action_executing_timeout: float | None = None
    unacknowledged_kill_timeout: float = 60
    retain_completed: float = 60
    newest_worker_first: bool = False
    most_queued: int = 200_000
    """A flood of Execute calls is refused beyond this, so that memory stays bounded."""
    most_retained: int = 20_000
    most_retained_bytes: int = 64 << 20
    """Completed operations that nobody follows are forgotten early beyond these."""
    back_off: tuple[float, float] = (1, 30)
    """First and longest pause of a worker that says it is exhausted while it runs nothing."""

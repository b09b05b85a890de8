"""What happened: the only way in which the machine learns anything. Ids are made by the shell and never repeat."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.dispatch.model import ActionRequest, Failure, Response, WorkerOffer
from nlserver.dispatch.properties import Needs, Offer


@dataclass(frozen=True, slots=True)
class Submitted:
    """A client wants an action run and follows it as `waiter`; `operation` is the id in case that none is joined."""

    operation: str
    waiter: str
    request: ActionRequest
    needs: Needs


@dataclass(frozen=True, slots=True)
class Attended:
    """One more stream follows this waiter's operation."""

    waiter: str


@dataclass(frozen=True, slots=True)
class Abandoned:
    """One stream fewer follows this waiter's operation."""

    waiter: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A waiter, or every waiter of an operation, wants it no more."""

    name: str


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    """A worker connected. `kills`: it may be told to kill what was taken from it."""

    worker: str
    offer: WorkerOffer
    has: Offer
    kills: bool = True


@dataclass(frozen=True, slots=True)
class WorkerSpoke:
    """A worker lives."""

    worker: str


@dataclass(frozen=True, slots=True)
class WorkerLeft:
    """A worker's stream ended, or it said goodbye."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerDrained:
    """An operator wants this worker to get no new work."""

    worker: str


@dataclass(frozen=True, slots=True)
class WorkerUndrained:
    """An operator wants this worker to get work again."""

    worker: str


@dataclass(frozen=True, slots=True)
class Executed:
    """A run's process ended, its outputs are still being uploaded (ExecuteComplete)."""

    worker: str
    run: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A run ended with a result (ExecuteResult, execute_response)."""

    worker: str
    run: str
    response: Response


@dataclass(frozen=True, slots=True)
class Failed:
    """A worker could not run it (ExecuteResult, internal_error)."""

    worker: str
    run: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed: whatever `deadline` announced may be due."""


Event = (
    Submitted
    | Attended
    | Abandoned
    | Cancelled
    | WorkerJoined
    | WorkerSpoke
    | WorkerLeft
    | WorkerDrained
    | WorkerUndrained
    | Executed
    | Finished
    | Failed
    | Ticked
)

"""What the machine orders. The shell carries it out and answers with events, never with a return value."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.dispatch.model import ActionRequest, Failure, Stage


@dataclass(frozen=True, slots=True)
class Start:
    """The worker must run the action. `run` names this attempt on the wire; `queued` is when the client asked."""

    worker: str
    run: str
    operation: str
    request: ActionRequest
    queued: float


@dataclass(frozen=True, slots=True)
class Kill:
    """The worker must end this run; whatever it reports of it is ignored."""

    worker: str
    run: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The worker is out of the pool; its stream must end."""

    worker: str
    reason: str
    running: int


@dataclass(frozen=True, slots=True)
class Publish:
    """An operation changed: whoever follows it (or only `waiter`) is shown its state. `note` says why."""

    operation: str
    stage: Stage
    note: str = ""
    waiter: str | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """The request was not admitted: no operation exists."""

    waiter: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class Warn:
    """Operators must be able to read this: a constant event, and what it is about."""

    event: str
    operation: str = ""
    worker: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Forget:
    """A waiter's name stands for nothing from now on."""

    waiter: str


Order = Start | Kill | Disconnect
"""What is addressed to one worker."""
Effect = Order | Publish | Refuse | Warn | Forget

"""The machine's own records of operations and workers. Only `state` and what it is made of change them."""

from __future__ import annotations

from nlserver.dispatch.matching import fits, room
from nlserver.dispatch.model import ActionRequest, Failure, Outcome, Readiness, Stage, WorkerOffer
from nlserver.dispatch.properties import Needs, Offer
from nlserver.errors import Code


class Waiter:
    """One client's hold on an operation: the name it was given, and how many of its streams are open."""

    __slots__ = ("cancelled", "name", "operation", "streams")

    def __init__(self, name: str, operation: Operation) -> None:
        self.name = name
        self.operation = operation
        self.streams = 1
        self.cancelled: Failure | None = None


class Operation:
    """One execution from submission to the end of its retention."""

    __slots__ = (
        "attempts",
        "id",
        "needs",
        "outcome",
        "priority",
        "queued",
        "request",
        "run",
        "runs",
        "serial",
        "since",
        "stage",
        "waiters",
        "worker",
    )

    def __init__(self, name: str, request: ActionRequest, needs: Needs, serial: int, now: float) -> None:
        self.id = name
        self.request = request
        self.needs = needs
        self.priority = request.priority
        self.serial = serial
        self.queued = now
        self.since = now
        self.stage = Stage.QUEUED
        self.waiters: dict[str, Waiter] = {}
        self.worker = ""
        self.run = ""
        self.runs = 0
        self.attempts = 0
        self.outcome: Outcome | None = None

    @property
    def rank(self) -> tuple[int, int]:
        """Smaller runs sooner: by priority, then in the order of submission."""
        return self.priority, self.serial

    @property
    def followed(self) -> bool:
        """Whether anybody looks."""
        return any(waiter.streams > 0 and waiter.cancelled is None for waiter in self.waiters.values())

    @property
    def streaming(self) -> bool:
        """Whether any stream is still open, if only to be told the end."""
        return any(waiter.streams > 0 for waiter in self.waiters.values())

    def start(self, worker: str, now: float) -> str:
        """Executing from now on; gives the name of the run, new for every attempt, so that no late word counts."""
        self.stage, self.since, self.worker = Stage.EXECUTING, now, worker
        self.runs += 1
        self.run = self.id if self.runs == 1 else f"{self.id}-{self.runs}"
        return self.run


class Run:
    """One attempt on one worker, from Start until the worker reports its end."""

    __slots__ = ("id", "operation", "released", "revoked", "taken")

    def __init__(self, name: str, operation: Operation, taken: tuple[tuple[str, int], ...]) -> None:
        self.id = name
        self.operation = operation
        self.taken = taken
        self.released = False
        self.revoked = False


class Worker:
    """One connected worker: what it has, what is left of it, and what runs there."""

    __slots__ = (
        "completed",
        "connected",
        "draining",
        "has",
        "id",
        "kills",
        "last_seen",
        "offer",
        "paused",
        "refusals",
        "remaining",
        "runs",
    )

    def __init__(self, name: str, offer: WorkerOffer, has: Offer, kills: bool, now: float) -> None:
        self.id = name
        self.offer = offer
        self.has = has
        self.kills = kills
        self.remaining = dict(has.amounts)
        self.runs: dict[str, Run] = {}
        self.connected = now
        self.last_seen = now
        self.completed = 0
        self.draining = False
        self.paused = ""
        self.refusals = 0

    @property
    def name(self) -> str:
        """What people call it: the configured name, or the id where there is none."""
        return self.offer.name or self.id

    @property
    def full(self) -> bool:
        """Whether it runs as many actions as it takes."""
        limit = self.offer.max_inflight_tasks
        return limit is not None and len(self.runs) >= limit

    @property
    def accepts(self) -> bool:
        """Whether it may be given anything at all."""
        return not (self.draining or self.paused or self.full)

    @property
    def readiness(self) -> Readiness:
        """`accepts` for people."""
        if self.draining:
            return Readiness.DRAINING
        if self.paused:
            return Readiness.PAUSED
        return Readiness.BUSY if self.full else Readiness.READY

    def fits_now(self, needs: Needs) -> bool:
        """Whether it has the properties, and enough of them left. Says nothing about `accepts`."""
        return room(needs, self.remaining) and fits(needs, self.has)

    def take(self, operation: Operation, run: str) -> None:
        """Put a run on it, with what it needs."""
        taken = operation.needs.minimum
        for name, amount in taken:
            self.remaining[name] -= amount
        self.runs[run] = Run(run, operation, taken)

    def release(self, run: Run) -> None:
        """Give back what a run took; its place among the runs stays."""
        if run.released:
            return
        run.released = True
        for name, amount in run.taken:
            self.remaining[name] += amount


CANCELLED = Failure(Code.CANCELLED, "the operation was cancelled")

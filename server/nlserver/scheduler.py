"""What a scheduler is. The kinds stand in `schedulers/`, one a file, named after their JSON5 tag.

A scheduler has two sides under one name: clients submit actions and follow operations, workers take seats and run
them. A kind that wraps another overrides what it changes. Times in its answers are of the site's
`clock.monotonic()`; `wall` turns them into timestamps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import cast

from nlserver.clock import Clock
from nlserver.dispatch.effects import Order
from nlserver.dispatch.model import (
    ActionRequest,
    Explanation,
    Failure,
    OperationState,
    Properties,
    WorkerOffer,
    WorkerState,
)
from nlserver.errors import Code, Error
from nlserver.spec import Site, Spec


class SchedulerSpec(Spec, kinds="nlserver.schedulers"):
    """A scheduler, by its kind: an object with exactly one key, the kind's name."""

    def build(self, site: Site) -> Scheduler:
        """Make the scheduler. Raises Error FAILED_PRECONDITION where it cannot be."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Abilities:
    """What GetCapabilities says of a scheduler: property names that it knows, and the priorities it tells apart."""

    property_names: tuple[str, ...] = ()
    lowest_priority: int = -(2**31)
    highest_priority: int = 2**31 - 1


class Seat(ABC):
    """A worker's place at a scheduler, from joining to leaving. Whoever joined calls `leave` in the end."""

    worker_id: str
    """The announced name and a UUID."""

    @abstractmethod
    def orders(self) -> AsyncIterator[Order]:
        """What the worker must do, as it comes up; ends after Disconnect, or when the worker left."""

    @abstractmethod
    def spoke(self) -> None:
        """The worker lives."""

    @abstractmethod
    def executed(self, run: str) -> None:
        """The run's process has ended, its outputs are still being uploaded: countable properties are free again."""

    @abstractmethod
    def finished(self, run: str, response: bytes) -> None:
        """The run ended with this serialised ExecuteResponse."""

    @abstractmethod
    def failed(self, run: str, failure: Failure) -> None:
        """The worker could not run it, for reasons that need not be the action's."""

    @abstractmethod
    def leave(self, reason: str) -> None:
        """The worker is gone; what it ran is queued again. Does nothing after the first time."""


class Scheduler(ABC):
    """Gives actions to workers."""

    async def abilities(self, instance: str) -> Abilities:
        """What clients of this instance may rely on."""
        return Abilities()

    @abstractmethod
    def submit(self, request: ActionRequest) -> AsyncGenerator[OperationState, None]:
        """Run an action and follow it: the state at once, then each newer state, the latest only; ends after COMPLETED.

        Each call gets a name of its own that nobody can guess, though equal requests share one operation. Closing the
        iterator leaves the operation to `watch`; after a while without anybody following, it ends.

        Raises Error INVALID_ARGUMENT for a property that is no number where one is needed, RESOURCE_EXHAUSTED when
        the queue is full, UNAVAILABLE while shutting down.
        """

    @abstractmethod
    def watch(self, name: str) -> AsyncGenerator[OperationState, None]:
        """Follow an operation again: the state at once, then as `submit`. Raises Error NOT_FOUND."""

    @abstractmethod
    async def get(self, name: str) -> OperationState:
        """The state now; asking counts as following. Raises Error NOT_FOUND."""

    @abstractmethod
    async def cancel(self, name: str) -> None:
        """The waiter of this name wants it no more; with the last one the operation ends and its process is killed.

        An operation's own id stands for all its waiters. Cancelling what is completed does nothing. Raises Error
        NOT_FOUND.
        """

    def stop(self) -> None:
        """Take no new work, end the streams of clients with UNAVAILABLE and those of workers; part of stopping orderly.

        Call it before the listeners stop: they wait for open streams.
        """

    def operations(self) -> Sequence[OperationState]:
        """All operations that are known here, under their own ids, oldest first."""
        return ()

    def changes(self) -> AbstractContextManager[AsyncGenerator[OperationState, None]]:
        """Inside of it, each operation when it changes, under its own id; of several changes perhaps the latest alone.

        Raises Error UNIMPLEMENTED where a kind cannot tell; the iterator ends with UNAVAILABLE when this shuts down.
        """
        raise Error(Code.UNIMPLEMENTED, f"{type(self).__name__} cannot be watched")

    def explain(self, operation: str) -> Explanation:
        """Why the operation of this id does not run, worker by worker. Raises Error NOT_FOUND."""
        raise Error(Code.UNIMPLEMENTED, f"{type(self).__name__} does not know its workers")

    def explain_properties(self, properties: Properties) -> Explanation:
        """Whether an action with these properties could run. Raises Error INVALID_ARGUMENT as `submit` does."""
        raise Error(Code.UNIMPLEMENTED, f"{type(self).__name__} does not know its workers")

    @property
    def takes_workers(self) -> bool:
        """Whether workers can join here."""
        return False

    def join(self, offer: WorkerOffer, *, kills: bool = True) -> Seat:
        """Give a worker a seat; with `kills` false it is never told to kill what was taken from it.

        Raises Error UNIMPLEMENTED where a kind has no worker side, INVALID_ARGUMENT for a property that is no number
        where one is needed, UNAVAILABLE while shutting down.
        """
        raise Error(Code.UNIMPLEMENTED, f"{type(self).__name__} takes no workers")

    def workers(self) -> Sequence[WorkerState]:
        """The workers that are connected here, in the order in which they came."""
        return ()

    def drain(self, worker_id: str, draining: bool) -> None:
        """Give this worker no new work, or give it work again. Raises Error NOT_FOUND."""
        raise Error(Code.NOT_FOUND, f"{type(self).__name__} has no worker {worker_id!r}")


class Wrapper(Scheduler):
    """A scheduler in front of another, under one name with it; a kind overrides what it changes."""

    def __init__(self, backend: Scheduler) -> None:
        self.backend = backend

    async def abilities(self, instance: str) -> Abilities:
        """As the scheduler behind."""
        return await self.backend.abilities(instance)

    def submit(self, request: ActionRequest) -> AsyncGenerator[OperationState, None]:
        """As the scheduler behind."""
        return self.backend.submit(request)

    def watch(self, name: str) -> AsyncGenerator[OperationState, None]:
        """As the scheduler behind."""
        return self.backend.watch(name)

    async def get(self, name: str) -> OperationState:
        """As the scheduler behind."""
        return await self.backend.get(name)

    async def cancel(self, name: str) -> None:
        """As the scheduler behind."""
        await self.backend.cancel(name)

    def stop(self) -> None:
        """As the scheduler behind."""
        self.backend.stop()

    def operations(self) -> Sequence[OperationState]:
        """As the scheduler behind."""
        return self.backend.operations()

    def changes(self) -> AbstractContextManager[AsyncGenerator[OperationState, None]]:
        """As the scheduler behind."""
        return self.backend.changes()

    def explain(self, operation: str) -> Explanation:
        """As the scheduler behind."""
        return self.backend.explain(operation)

    def explain_properties(self, properties: Properties) -> Explanation:
        """As the scheduler behind."""
        return self.backend.explain_properties(properties)

    @property
    def takes_workers(self) -> bool:
        """As the scheduler behind."""
        return self.backend.takes_workers

    def join(self, offer: WorkerOffer, *, kills: bool = True) -> Seat:
        """As the scheduler behind."""
        return self.backend.join(offer, kills=kills)

    def workers(self) -> Sequence[WorkerState]:
        """As the scheduler behind."""
        return self.backend.workers()

    def drain(self, worker_id: str, draining: bool) -> None:
        """As the scheduler behind."""
        self.backend.drain(worker_id, draining)


def scheduler_named(site: Site, name: str) -> Scheduler:
    """The root scheduler of this name; see `Site.named`."""
    return cast(Scheduler, site.named("scheduler", name))


def wall(clock: Clock, moment: float) -> float:
    """Seconds since 1970 of a moment of `clock.monotonic()`."""
    return clock.wall() - (clock.monotonic() - moment)

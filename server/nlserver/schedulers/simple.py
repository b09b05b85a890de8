"""The scheduler `simple`: one process, its queue and its workers in memory.

The deciding is `dispatch.State`'s; here are the clock, the timer, the names, the log, and the wake-ups.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from nlserver import log
from nlserver.clock import Clock
from nlserver.dispatch.effects import Disconnect, Effect, Forget, Kill, Order, Publish, Refuse, Start, Warn
from nlserver.dispatch.events import (
    Abandoned,
    Attended,
    Cancelled,
    Event,
    Executed,
    Failed,
    Finished,
    Submitted,
    Ticked,
    WorkerDrained,
    WorkerJoined,
    WorkerLeft,
    WorkerSpoke,
    WorkerUndrained,
)
from nlserver.dispatch.model import (
    ActionRequest,
    Explanation,
    Failure,
    Limits,
    OperationState,
    Properties,
    Response,
    Stage,
    WorkerOffer,
    WorkerState,
)
from nlserver.dispatch.properties import Kinds, PropertyKind, needs_of, offer_of
from nlserver.dispatch.state import State
from nlserver.errors import Code, Error, not_found
from nlserver.metrics import Count, count
from nlserver.scheduler import Abilities, Scheduler, SchedulerSpec, Seat
from nlserver.spec import U32, Number, Seconds, SignedSeconds, Site, Spec, key

_STALL_SECONDS: Final = 1.0
_MOST_STREAMS: Final = 1000
_COME_AGAIN_SECONDS: Final = 5.0
_SHUTTING_DOWN: Final = "the scheduler is shutting down"


class AllocationStrategy(StrEnum):
    """Which of the workers that fit gets an action."""

    LEAST_RECENTLY_USED = "least_recently_used"
    """The one that was given nothing, and reported nothing, for the longest time: spreads work."""
    MOST_RECENTLY_USED = "most_recently_used"
    """The one that was last at work: keeps caches warm and lets idle workers be taken away."""


class BackendSpec(Spec, kinds=""):
    """Where the queue is kept."""


@dataclass(frozen=True, kw_only=True)
class MemoryBackendSpec(BackendSpec, tag="memory"):
    """In the memory of this process: a restart forgets the queue, and clients submit again."""


@dataclass(frozen=True, kw_only=True)
class RedisBackendSpec(BackendSpec, tag="redis"):
    """In Redis, shared by several schedulers. Not available yet."""

    redis_store: str
    """Name of a root `redis_store`."""


@dataclass(frozen=True, kw_only=True)
class SimpleSpec(SchedulerSpec, tag="simple"):
    """Queues actions and gives each to a worker that fits; one process, state in memory."""

    supported_platform_properties: dict[str, PropertyKind] | None = None
    """How the properties of actions and workers are compared, by name: `exact`, `minimum` (a number; taken while an
    action runs), `priority` (the worker has it, with any value) or `ignore`. A name that is not listed must be equal
    on workers that announce it and restricts no other."""
    retain_completed_for_s: Seconds = key(zero=60, most=U32)
    """How long a finished operation can still be asked for."""
    client_action_timeout_s: Seconds = key(zero=60)
    """How long an operation goes on after its last client went away."""
    worker_timeout_s: Seconds = key(zero=5)
    """How long a worker may be silent before it is dropped; its actions are queued again."""
    max_action_executing_timeout_s: Seconds | None = key(zero=None)
    """How long an action may execute without any news of it before it is taken from its worker; 0 means for ever."""
    unacknowledged_kill_timeout_s: Seconds = key(zero=60)
    """How long a worker may take to report the end of an action that it was told to kill before it is dropped."""
    max_job_retries: Number = key(zero=3)
    """How often an action is tried again after a worker was lost or could not run it. What no repetition makes
    better (INVALID_ARGUMENT, FAILED_PRECONDITION, UNIMPLEMENTED, PERMISSION_DENIED) is not tried again."""
    allocation_strategy: AllocationStrategy = AllocationStrategy.LEAST_RECENTLY_USED
    """Which of the workers that fit gets an action."""
    experimental_backend: BackendSpec | None = None
    """Where the queue is kept: "memory"."""
    worker_match_logging_interval_s: SignedSeconds = 10
    """How often the log says what waits and why, while anything waits; -1 and 0 turn it off."""
    fallback_match_interval_s: SignedSeconds = 5
    """Has no effect: NativeLink repeats its matching after this time; here every event that could change a match
    is followed by one."""

    def build(self, site: Site) -> Scheduler:
        """Make the scheduler. Raises Error UNIMPLEMENTED for the Redis backend."""
        if isinstance(self.experimental_backend, RedisBackendSpec):
            raise Error(
                Code.UNIMPLEMENTED,
                "the scheduler backend 'redis' is not available yet",
                remedy='Leave experimental_backend out, or say "memory".',
            )
        scheduler = SimpleScheduler(
            self.limits(),
            self.supported_platform_properties or {},
            site.clock,
            report_seconds=max(0, self.worker_match_logging_interval_s),
        )
        site.on_close(scheduler.close)
        return scheduler

    def limits(self) -> Limits:
        """What the dispatch machine enforces."""
        return Limits(
            max_job_retries=self.max_job_retries,
            worker_timeout=self.worker_timeout_s,
            client_action_timeout=self.client_action_timeout_s,
            max_action_executing_timeout=self.max_action_executing_timeout_s,
            unacknowledged_kill_timeout=self.unacknowledged_kill_timeout_s,
            retain_completed=self.retain_completed_for_s,
            newest_worker_first=self.allocation_strategy is AllocationStrategy.MOST_RECENTLY_USED,
        )


def _identify() -> str:
    return str(uuid.uuid4())


class SimpleScheduler(Scheduler):
    """Carries out what a dispatch machine decides, in one event loop. `identify` makes ids that nobody can guess."""

    def __init__(
        self,
        limits: Limits,
        kinds: Kinds,
        clock: Clock,
        *,
        report_seconds: float = 0,
        identify: Callable[[], str] = _identify,
    ) -> None:
        self._state = State(limits)
        self._kinds = kinds
        self._clock = clock
        self._identify = identify
        self._report_seconds = report_seconds
        self._seats: dict[str, _Seat] = {}
        self._streams: dict[str, set[asyncio.Event]] = {}
        self._watchers: set[_Changes] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0.0
        self._excused = False
        self._reporter: asyncio.TimerHandle | None = None
        self._stopped = False

    # Clients

    async def abilities(self, instance: str) -> Abilities:
        """The configured property names; every priority is told apart."""
        return Abilities(tuple(sorted(self._kinds)))

    def submit(self, request: ActionRequest) -> AsyncGenerator[OperationState, None]:
        """Queue the action, or join an equal one, at the first pull."""
        return self._follow(self._identify(), lambda name: self._admit(name, request))

    def watch(self, name: str) -> AsyncGenerator[OperationState, None]:
        """Follow by the name that `submit` gave."""
        return self._follow(name, self._attend)

    async def get(self, name: str) -> OperationState:
        """The state now; counts as following for a moment."""
        state = self._state.view(name)
        if state.stage is not Stage.COMPLETED:
            self._handle(Attended(name))
            self._handle(Abandoned(name))
        return state

    async def cancel(self, name: str) -> None:
        """End it for this waiter, or for all when given the operation's own id."""
        self._state.view(name)
        self._handle(Cancelled(name))

    async def _follow(self, name: str, enter: Callable[[str], None]) -> AsyncGenerator[OperationState, None]:
        enter(name)
        changed = asyncio.Event()
        self._streams.setdefault(name, set()).add(changed)
        try:
            while True:
                if self._stopped:
                    raise Error(Code.UNAVAILABLE, _SHUTTING_DOWN)
                changed.clear()
                state = self._state.view(name)
                yield state
                if state.stage is Stage.COMPLETED:
                    return
                await changed.wait()
        finally:
            self._streams[name].remove(changed)
            if not self._streams[name]:
                del self._streams[name]
            self._handle(Abandoned(name))

    def _admit(self, name: str, request: ActionRequest) -> None:
        self._require_open()
        needs = needs_of(request.properties, self._kinds)
        for effect in self._handle(Submitted(self._identify(), name, request, needs)):
            if isinstance(effect, Refuse):
                raise Error(effect.failure.code, effect.failure.message, retry_seconds=_COME_AGAIN_SECONDS)

    def _attend(self, name: str) -> None:
        self._require_open()
        if self._state.view(name).operation == name:
            raise not_found(f"Failed to find existing task: {name!r} is not the name that a client was given")
        if len(self._streams.get(name, ())) >= _MOST_STREAMS:
            raise Error(Code.RESOURCE_EXHAUSTED, f"{_MOST_STREAMS} streams follow operation {name!r} already")
        self._handle(Attended(name))

    @property
    def followed(self) -> int:
        """How many names are being followed by streams now."""
        return len(self._streams)

    # Workers and operators

    @property
    def takes_workers(self) -> bool:
        """They are what it is for."""
        return True

    def join(self, offer: WorkerOffer, *, kills: bool = True) -> Seat:
        """Register a worker under its name and a UUID."""
        self._require_open()
        has = offer_of(offer.properties, self._kinds)
        seat = _Seat(offer.name + self._identify(), self._handle)
        self._seats[seat.worker_id] = seat
        log.info(
            "Worker registered",
            worker_id=seat.worker_id,
            platform_properties=json.dumps(has.values, ensure_ascii=False),
            max_inflight_tasks=offer.max_inflight_tasks or "unlimited",
        )
        self._handle(WorkerJoined(seat.worker_id, offer, has, kills))
        return seat

    def workers(self) -> Sequence[WorkerState]:
        """All that have a seat."""
        return list(self._state.worker_views())

    def operations(self) -> Sequence[OperationState]:
        """Queued, executing and retained ones."""
        return list(self._state.views())

    @contextmanager
    def changes(self) -> Iterator[AsyncGenerator[OperationState, None]]:
        """What the machine publishes for all waiters of an operation."""
        watcher = _Changes()
        self._watchers.add(watcher)
        try:
            yield self._views(watcher)
        finally:
            self._watchers.remove(watcher)

    async def _views(self, watcher: _Changes) -> AsyncGenerator[OperationState, None]:
        while not self._stopped:
            for name in watcher.take():
                # One that was forgotten meanwhile has nothing to be shown.
                if name in self._state.operations:
                    yield self._state.view(name)
            await watcher.came.wait()
        raise Error(Code.UNAVAILABLE, _SHUTTING_DOWN)

    def explain(self, operation: str) -> Explanation:
        """Compares the operation with every connected worker."""
        return self._state.explain(operation)

    def explain_properties(self, properties: Properties) -> Explanation:
        """Compares what is asked with every connected worker."""
        return self._state.explain_needs(needs_of(properties, self._kinds))

    def drain(self, worker_id: str, draining: bool) -> None:
        """As an operator wishes."""
        if worker_id not in self._seats:
            known = ", ".join(sorted(self._seats)) or "none"
            raise not_found(f"no worker {worker_id!r} is connected", remedy=f"Connected workers: {known}")
        self._handle(WorkerDrained(worker_id) if draining else WorkerUndrained(worker_id))

    def stop(self) -> None:
        """Say goodbye to everybody."""
        self._stopped = True
        for seat in self._seats.values():
            seat.give(Disconnect(seat.worker_id, "Scheduler shutdown", 0))
        for streams in self._streams.values():
            for changed in streams:
                changed.set()
        for watcher in self._watchers:
            watcher.came.set()

    async def close(self) -> None:
        """Stop, and give up the timers."""
        self.stop()
        for timer in (self._timer, self._reporter):
            if timer is not None:
                timer.cancel()

    def _require_open(self) -> None:
        if self._stopped:
            raise Error(Code.UNAVAILABLE, _SHUTTING_DOWN)

    # The machine

    def tick(self) -> None:
        """Do what is due by now; the timer calls it in time."""
        self._handle(Ticked())

    def _handle(self, event: Event) -> list[Effect]:
        effects = self._state.handle(event, self._clock.monotonic())
        for effect in effects:
            self._carry_out(effect)
        if not self._stopped:
            self._arm()
            self._report_later()
        return effects

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Start(worker, run, operation, request):
                # Not "Executing action": people count that line by worker, and the scheduler is none.
                log.info(
                    "Action given to a worker",
                    operation=operation,
                    action=request.action,
                    worker_id=worker,
                    **({"attempt": run} if run != operation else {}),
                    **({"invocation": request.origin.invocation} if request.origin.invocation else {}),
                )
                self._seats[worker].give(effect)
            case Kill(worker, run):
                log.info("Killing an operation that was taken from its worker", operation=run, worker_id=worker)
                self._seats[worker].give(effect)
            case Disconnect(worker, reason, running):
                log.info("Evicting worker from pool", worker_id=worker, reason=reason, running_actions=running)
                self._seats.pop(worker).give(effect)
            case Publish(operation, waiter=waiter):
                for watcher in self._watchers if waiter is None else ():
                    watcher.add(operation)
                self._wake(self._state.followers(operation) if waiter is None else (waiter,))
            case Warn(event, operation, worker, reason):
                facts = {"operation": operation, "worker_id": worker, "reason": reason}
                log.warn(event, **{name: fact for name, fact in facts.items() if fact})
            case Refuse() | Forget():
                pass
            case _:
                assert_never(effect)

    def _wake(self, waiters: Iterable[str]) -> None:
        for name in waiters:
            for changed in self._streams.get(name, ()):
                changed.set()

    def _arm(self) -> None:
        """Have `_due` called at the machine's deadline; a timer that rings early finds nothing due and arms again."""
        deadline = self._state.deadline()
        if deadline is None or (self._timer is not None and self._armed_for <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = deadline
        delay = max(0.0, deadline - self._clock.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._due)

    def _due(self) -> None:
        """Workers' words may wait unread while this process stood still: once, they get a moment to be heard first."""
        late = self._clock.monotonic() - self._armed_for
        if late > _STALL_SECONDS and not self._excused:
            self._excused = True
            self._timer = asyncio.get_running_loop().call_later(_STALL_SECONDS, self._due)
            return
        self._excused = False
        self._timer = None
        self.tick()

    # Reports

    def _report_later(self) -> None:
        if self._report_seconds and self._reporter is None and self._state.queue.count:
            self._reporter = asyncio.get_running_loop().call_later(self._report_seconds, self._report)

    def _report(self) -> None:
        """Tell operators what waits, while anything does."""
        self._reporter = None
        waiting = [state for state in self._state.views() if state.stage is Stage.QUEUED]
        if not waiting:
            return
        oldest = waiting[0]
        log.info(
            "Operations wait for a worker",
            queued=len(waiting),
            unsatisfiable=sum(state.unsatisfiable for state in waiting),
            workers=len(self._seats),
            oldest=oldest.operation,
            oldest_waits_seconds=round(self._clock.monotonic() - oldest.queued),
            reason=self._state.explain(oldest.operation).summary,
        )
        self._report_later()


class _Changes:
    """The operations that changed since somebody looked, each once: a slow reader costs no more than that."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self._names: dict[str, None] = {}

    def add(self, operation: str) -> None:
        """It changed."""
        self._names[operation] = None
        self.came.set()

    def take(self) -> Iterable[str]:
        """Those that changed, in order; nothing is left."""
        taken, self._names = self._names, {}
        self.came.clear()
        return taken


class _Seat(Seat):
    """Orders pile up here until the worker's stream takes them."""

    def __init__(self, worker_id: str, handle: Callable[[Event], object]) -> None:
        self.worker_id = worker_id
        self._handle = handle
        self._orders: deque[Order] = deque()
        self._given = asyncio.Event()

    def give(self, order: Order) -> None:
        """Put an order where the worker's stream finds it; what is undone when it leaves is done elsewhere."""
        if isinstance(order, Disconnect):
            self._orders.clear()
        self._orders.append(order)
        self._given.set()

    async def orders(self) -> AsyncIterator[Order]:
        """Each order once."""
        while True:
            await self._given.wait()
            self._given.clear()
            while self._orders:
                order = self._orders.popleft()
                yield order
                if isinstance(order, Disconnect):
                    return

    def spoke(self) -> None:
        """As the interface says."""
        self._handle(WorkerSpoke(self.worker_id))

    def executed(self, run: str) -> None:
        """As the interface says."""
        self._handle(Executed(self.worker_id, run))

    def finished(self, run: str, response: bytes) -> None:
        """As the interface says."""
        count(Count.FINISHED_ACTIONS)
        self._handle(Finished(self.worker_id, run, Response(response)))

    def failed(self, run: str, failure: Failure) -> None:
        """As the interface says."""
        count(Count.FAILED_ACTIONS)
        self._handle(Failed(self.worker_id, run, failure))

    def leave(self, reason: str) -> None:
        """As the interface says."""
        self._handle(WorkerLeft(self.worker_id, reason))

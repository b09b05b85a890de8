"""The dispatch machine: events in, effects out.

An operation is QUEUED, then EXECUTING as one run on one worker, then COMPLETED; a run that fails for reasons that may
not be the action's own puts it back into the queue under its old rank, up to `Limits.max_job_retries` times. A run
that the machine takes from a worker is *revoked*: it keeps its place on the worker until the worker reports its end,
and nothing that is reported of it counts. Nothing is lost, run twice at once, or left waiting without a reason that
can be read; `check` asserts all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, assert_never

from nlserver.dispatch import explanation, invariants
from nlserver.dispatch.alarms import Alarms
from nlserver.dispatch.effects import Disconnect, Effect, Forget, Kill, Publish, Refuse, Start, Warn
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
from nlserver.dispatch.matching import differences
from nlserver.dispatch.model import (
    Explanation,
    Failure,
    Limits,
    OperationState,
    Outcome,
    Response,
    Stage,
    Verdict,
    WorkerState,
)
from nlserver.dispatch.pool import Pool
from nlserver.dispatch.properties import Needs
from nlserver.dispatch.queue import Group, Queue
from nlserver.dispatch.records import CANCELLED, Operation, Run, Waiter, Worker
from nlserver.errors import Code, not_found
from nlserver.reapi.digest import Digest

HOPELESS: Final = frozenset(
    {Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION, Code.UNIMPLEMENTED, Code.PERMISSION_DENIED}
)
"""Failures of a worker that no repetition makes better: they end the operation at once."""
# What a client would take for its own doing, or stop the whole build for (Bazel: UNAVAILABLE), says ABORTED in the end.
_SOFTENED: Final = frozenset({Code.OK, Code.CANCELLED, Code.UNAVAILABLE})
_TRIED_AT_ONCE: Final = 16
Alarm = tuple[str, str]
"""What is due, and for whom."""


class State:
    """All operations and workers of one scheduler.

    Only `handle` changes it. Times are seconds on a clock that never jumps, equal or later from call to call.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.operations: dict[str, Operation] = {}
        self.waiters: dict[str, Waiter] = {}
        self.shared: dict[tuple[str, Digest], Operation] = {}
        self.queue = Queue()
        self.pool = Pool(limits.newest_worker_first)
        self.retained: dict[str, int] = {}
        self.retained_bytes = 0
        self.alarms: Alarms[Alarm] = Alarms()
        self._submissions = 0
        self._effects: list[Effect] = []
        self._changed: dict[str, str] = {}

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take in what happened and decide what must be done, in this order.

        Events about waiters, runs and workers that are no longer known change nothing: they lost a race.
        """
        self._effects, self._changed = [], {}
        self._take_in(event, now)
        self._match(now)
        self._trim()
        self._publish()
        return self._effects

    def deadline(self) -> float | None:
        """When `Ticked` has something to do, if nothing else happens before; None for never."""
        return self.alarms.next()

    def check(self) -> None:
        """Raise AssertionError unless every invariant holds. For tests: it looks at everything."""
        invariants.check(self)

    def view(self, name: str) -> OperationState:
        """An operation by a waiter's name, or by its own id. Raises Error NOT_FOUND."""
        waiter = self.waiters.get(name)
        operation = waiter.operation if waiter else self.operations.get(name)
        if operation is None:
            raise not_found(f"Failed to find existing task: no operation {name[:100]!r} is known here")
        return self._view(name, operation, waiter.cancelled if waiter else None)

    def views(self) -> Iterator[OperationState]:
        """Every operation under its own id, in the order of submission."""
        return (self._view(name, operation, None) for name, operation in self.operations.items())

    def followers(self, operation: str) -> Iterator[str]:
        """The names of an operation's waiters that have streams open."""
        known = self.operations.get(operation)
        return (waiter.name for waiter in known.waiters.values() if waiter.streams > 0) if known else iter(())

    def worker_views(self) -> Iterator[WorkerState]:
        """Every connected worker, in the order of joining."""
        for worker in self.pool.workers.values():
            yield WorkerState(
                id=worker.id,
                offer=worker.offer,
                readiness=worker.readiness,
                remaining=tuple((name, str(amount)) for name, amount in sorted(worker.remaining.items())),
                operations=tuple(run.operation.id for run in worker.runs.values()),
                connected=worker.connected,
                last_seen=worker.last_seen,
                completed=worker.completed,
            )

    def explain(self, name: str) -> Explanation:
        """Why an operation waits, worker by worker; or that it does not wait. Raises Error NOT_FOUND."""
        operation = self.operations[self.view(name).operation]
        match operation.stage:
            case Stage.QUEUED:
                return explanation.explain(operation.needs, self.pool.workers.values())
            case Stage.EXECUTING:
                return Explanation(Verdict.NOW, f"it executes on {self.pool.workers[operation.worker].name}")
            case Stage.COMPLETED:
                return Explanation(Verdict.NOW, "it has ended")
            case _:
                assert_never(operation.stage)

    def explain_needs(self, needs: Needs) -> Explanation:
        """Whether an action with these needs could run, worker by worker."""
        return explanation.explain(needs, self.pool.workers.values())

    # Events

    def _take_in(self, event: Event, now: float) -> None:
        match event:
            case Submitted():
                self._submitted(event, now)
            case Attended(waiter):
                self._attended(waiter)
            case Abandoned(waiter):
                self._abandoned(waiter, now)
            case Cancelled(name):
                self._cancelled(name, now)
            case WorkerJoined():
                self._joined(event, now)
            case WorkerSpoke(worker):
                self._spoke(worker, now)
            case WorkerLeft(worker, reason):
                self._left(worker, reason, now)
            case WorkerDrained(worker):
                self._drain(worker, True)
            case WorkerUndrained(worker):
                self._drain(worker, False)
            case Executed(worker, run):
                self._executed(worker, run, now)
            case Finished(worker, run, response):
                self._ended(worker, run, response, now)
            case Failed(worker, run, failure):
                self._ended(worker, run, failure, now)
            case Ticked():
                self._ticked(now)
            case _:
                assert_never(event)

    def _submitted(self, event: Submitted, now: float) -> None:
        request = event.request
        joined = self.shared.get(request.key) if request.shareable else None
        if joined is not None:
            self._follow(joined, event.waiter)
            self._promote(joined, request.priority)
            self._effects.append(Publish(joined.id, joined.stage, waiter=event.waiter))
        elif self.queue.count >= self.limits.most_queued:
            full = f"the queue is full: {self.queue.count} operations wait for a worker"
            self._effects.append(Refuse(event.waiter, Failure(Code.RESOURCE_EXHAUSTED, full)))
        else:
            self._admit(event, now)

    def _admit(self, event: Submitted, now: float) -> None:
        self._submissions += 1
        operation = Operation(event.operation, event.request, event.needs, self._submissions, now)
        self.operations[operation.id] = operation
        if event.request.shareable:
            self.shared[event.request.key] = operation
        self._follow(operation, event.waiter)
        self.queue.put(operation)
        self._change(operation)

    def _follow(self, operation: Operation, name: str) -> None:
        self.waiters[name] = operation.waiters[name] = Waiter(name, operation)
        self.alarms.clear(("client", operation.id))

    def _promote(self, operation: Operation, priority: int) -> None:
        """A joiner in a greater hurry takes the operation along (REAPI v2: lower runs sooner)."""
        if priority >= operation.priority:
            return
        operation.priority = priority
        if operation.stage is Stage.QUEUED:
            self.queue.promote(operation)

    def _attended(self, name: str) -> None:
        waiter = self.waiters.get(name)
        if waiter is None:
            return
        waiter.streams += 1
        if waiter.cancelled is None:
            self.alarms.clear(("client", waiter.operation.id))

    def _abandoned(self, name: str, now: float) -> None:
        waiter = self.waiters.get(name)
        if waiter is None:
            return
        waiter.streams -= 1
        if waiter.cancelled is None:
            self._expect_clients(waiter.operation, now)

    def _expect_clients(self, operation: Operation, now: float) -> None:
        if operation.stage is not Stage.COMPLETED and not operation.followed:
            self.alarms.set(("client", operation.id), now + self.limits.client_action_timeout)

    def _cancelled(self, name: str, now: float) -> None:
        waiter = self.waiters.get(name)
        operation = waiter.operation if waiter else self.operations.get(name)
        if operation is None or operation.stage is Stage.COMPLETED:
            return
        leaving = [waiter] if waiter else list(operation.waiters.values())
        if all(each.cancelled or each in leaving for each in operation.waiters.values()):
            self._complete(operation, CANCELLED, now)
            return
        for each in leaving:
            each.cancelled = CANCELLED
            self.alarms.set(("waiter", each.name), now + self.limits.retain_completed)
            self._effects.append(Publish(operation.id, Stage.COMPLETED, CANCELLED.message, each.name))
        self._expect_clients(operation, now)

    def _joined(self, event: WorkerJoined, now: float) -> None:
        worker = Worker(event.worker, event.offer, event.has, event.kills, now)
        self.pool.add(worker)
        self.alarms.set(("worker", worker.id), now + self.limits.worker_timeout)
        for group in self.queue.groups.values():
            self._reconsider(group, worker)

    def _spoke(self, name: str, now: float) -> None:
        worker = self.pool.workers.get(name)
        if worker is not None:
            worker.last_seen = now
            self.alarms.set(("worker", name), now + self.limits.worker_timeout)

    def _left(self, name: str, reason: str, now: float) -> None:
        worker = self.pool.workers.get(name)
        if worker is not None:
            self._evict(worker, reason, now)

    def _drain(self, name: str, draining: bool) -> None:
        worker = self.pool.workers.get(name)
        if worker is not None:
            worker.draining = draining
            self.pool.settle(worker, gained=not draining)

    def _executed(self, name: str, run_id: str, now: float) -> None:
        found = self._run(name, run_id, now)
        if found is None:
            return
        worker, run = found
        worker.release(run)
        self.pool.settle(worker, gained=True)
        if not run.revoked:
            self._watch_execution(run, now)

    def _ended(self, name: str, run_id: str, outcome: Outcome, now: float) -> None:
        found = self._run(name, run_id, now)
        if found is None:
            return
        worker, run = found
        self._end(worker, run)
        if not run.revoked:
            self._conclude(worker, run.operation, outcome, now)
        self.pool.settle(worker, gained=True)

    def _conclude(self, worker: Worker, operation: Operation, outcome: Outcome, now: float) -> None:
        match outcome:
            case Response():
                worker.refusals = 0
                self._complete(operation, outcome, now)
            case Failure(Code.RESOURCE_EXHAUSTED, message):
                self._pause(worker, message, now)
                self._effects.append(Warn("Worker is exhausted", operation.id, worker.id, message))
                self._requeue(operation, now, f"{worker.name} said that it is exhausted: {message}")
            case Failure(code) if code in HOPELESS:
                self._complete(operation, outcome, now)
            case Failure():
                self._retry(operation, outcome, now)
            case _:
                assert_never(outcome)

    def _ticked(self, now: float) -> None:
        for kind, name in self.alarms.pop_due(now):
            match kind:
                case "worker":
                    self._evict(self.pool.workers[name], f"Worker {name} timed out, removing from pool", now)
                case "resume":
                    self._resume(self.pool.workers[name])
                case "kill":
                    self._kill_ignored(name, now)
                case "executing":
                    self._execution_timed_out(self.operations[name], now)
                case "client":
                    self._clients_gone(self.operations[name], now)
                case "retain":
                    self._retention_over(self.operations[name], now)
                case "waiter":
                    self._cancelled_retention_over(self.waiters[name], now)
                case _:
                    raise AssertionError(kind)

    # Matching

    def _match(self, now: float) -> None:
        """Give work to workers, best rank first, until nothing fits; then explain what can never fit."""
        queue, pool = self.queue, self.pool
        unplaced: list[Group] = []
        while group := queue.pop(blocked_too=bool(pool.gained)):
            worker = pool.choose(group.needs, gained_only=group.blocked)
            if worker is None:
                unplaced.append(group)
                continue
            operation = group.head()
            assert operation is not None
            queue.drop(operation)
            self._start(operation, worker, now)
            queue.back(group)
        pool.gained.clear()
        for group in unplaced:
            queue.block(group)
            if group.fitting is None:
                self._count_fitting(group)

    def _start(self, operation: Operation, worker: Worker, now: float) -> None:
        run = operation.start(worker.id, now)
        worker.take(operation, run)
        self.pool.settle(worker, gained=False)
        self._watch_execution(worker.runs[run], now)
        self._effects.append(Start(worker.id, run, operation.id, operation.request, operation.queued))
        self._change(operation)

    def _count_fitting(self, group: Group) -> None:
        """Compare a group with every worker; while it lives, `_reconsider` and `_recount` keep the count."""
        group.fitting, group.nearest = 0, (0, "")
        explained = explanation.NOBODY
        for worker in self.pool.workers.values():
            reasons = list(differences(group.needs, worker.has))
            if not reasons:
                group.fitting += 1
            elif not group.nearest[0] or len(reasons) < group.nearest[0]:
                group.nearest = (len(reasons), worker.id)
                explained = explanation.sentence(worker, reasons)
        if group.fitting == 0:
            self._declare(group, explained)

    def _reconsider(self, group: Group, worker: Worker) -> None:
        """A worker joined: it may be the first that fits, or come nearer than the others."""
        if group.fitting is None:
            return
        reasons = list(differences(group.needs, worker.has))
        if not reasons:
            group.fitting += 1
            if group.explanation:
                self._declare(group, "")
        elif group.fitting == 0 and (not group.nearest[0] or len(reasons) < group.nearest[0]):
            group.nearest = (len(reasons), worker.id)
            self._declare(group, explanation.sentence(worker, reasons))

    def _recount(self, group: Group, gone: Worker) -> None:
        """A worker left: it may have been the last that fits, or the nearest."""
        if group.fitting is None:
            return
        if next(differences(group.needs, gone.has), None) is None:
            group.fitting -= 1
            if group.fitting == 0:
                self._count_fitting(group)
        elif group.fitting == 0 and group.nearest[1] == gone.id:
            self._count_fitting(group)

    def _declare(self, group: Group, explained: str) -> None:
        """No connected worker could run this group, for this reason; or, with an empty one, some worker can now."""
        if explained and not group.explanation:
            first = next(iter(group.members))
            self._effects.append(Warn("No connected worker can run this operation", first, reason=explained))
        group.explanation = explained
        for operation in group.members.values():
            self._change(operation, explained)

    # Operations

    def _change(self, operation: Operation, note: str = "") -> None:
        """Its waiters are told at the end of this event. The first note of an event is the reason."""
        if not self._changed.get(operation.id):
            self._changed[operation.id] = note

    def _publish(self) -> None:
        for name, note in self._changed.items():
            operation = self.operations[name]
            self._effects.append(Publish(name, operation.stage, note or self._explanation(operation)))

    def _explanation(self, operation: Operation) -> str:
        group = self.queue.groups.get(operation.needs) if operation.stage is Stage.QUEUED else None
        return group.explanation if group else ""

    def _complete(self, operation: Operation, outcome: Outcome, now: float) -> None:
        if operation.stage is Stage.QUEUED:
            self.queue.drop(operation)
        elif (run := self._live_run(operation)) is not None:
            self._revoke(run, now)
        operation.stage, operation.since, operation.outcome = Stage.COMPLETED, now, outcome
        if self.shared.get(operation.request.key) is operation:
            del self.shared[operation.request.key]
        self.alarms.clear(("client", operation.id))
        self.alarms.clear(("executing", operation.id))
        self.alarms.set(("retain", operation.id), now + self.limits.retain_completed)
        self.retained[operation.id] = size = len(outcome.data) if isinstance(outcome, Response) else 0
        self.retained_bytes += size
        self._change(operation, "" if isinstance(outcome, Response) else f"{outcome.code.name}: {outcome.message}")

    def _retry(self, operation: Operation, failure: Failure, now: float) -> None:
        """An attempt failed for a reason that may pass."""
        operation.attempts += 1
        if operation.attempts > self.limits.max_job_retries:
            self._effects.append(Warn("Operation failed for good", operation.id, operation.worker, failure.message))
            self._complete(operation, self._given_up(operation, failure), now)
            return
        self._effects.append(Warn("Operation is queued again", operation.id, operation.worker, failure.message))
        self._requeue(operation, now, failure.message)

    def _given_up(self, operation: Operation, failure: Failure) -> Failure:
        tried, most = operation.attempts, self.limits.max_job_retries
        text = (
            f"{failure.message} --- Job cancelled because it attempted to execute too many times {tried} > {most} "
            f"times for operation_id: {operation.id}, maybe_worker_id: {operation.worker}"
        )
        return Failure(Code.ABORTED if failure.code in _SOFTENED else failure.code, text, failure.missing)

    def _lost(self, operation: Operation, reason: str, now: float) -> None:
        """The worker that ran it is gone."""
        lost = Failure(Code.ABORTED, reason)
        if operation.attempts < self.limits.max_job_retries:
            self._retry(operation, lost, now)
            return
        operation.attempts += 1
        self._effects.append(Warn("Operation failed for good", operation.id, operation.worker, reason))
        text = (
            f"Worker disconnected repeatedly while executing this action ({operation.attempts} > "
            f"{self.limits.max_job_retries} attempts); the action may use too much memory or end its worker otherwise. "
            f"The last time: {reason}"
        )
        self._complete(operation, Failure(Code.ABORTED, text), now)

    def _requeue(self, operation: Operation, now: float, note: str) -> None:
        operation.stage, operation.since = Stage.QUEUED, now
        operation.worker = operation.run = ""
        self.alarms.clear(("executing", operation.id))
        self.queue.put(operation)
        self._change(operation, note)

    def _watch_execution(self, run: Run, now: float) -> None:
        if self.limits.max_action_executing_timeout is not None:
            self.alarms.set(("executing", run.operation.id), now + self.limits.max_action_executing_timeout)

    def _execution_timed_out(self, operation: Operation, now: float) -> None:
        run = self._live_run(operation)
        assert run is not None
        self._revoke(run, now)
        limit = self.limits.max_action_executing_timeout
        text = f"Operation timed out after {limit:g} seconds without news from its worker {operation.worker}"
        self._retry(operation, Failure(Code.DEADLINE_EXCEEDED, text), now)

    def _clients_gone(self, operation: Operation, now: float) -> None:
        text = f"Operation timed out {self.limits.client_action_timeout:g} seconds of having no more clients listening"
        self._effects.append(Warn("Operation timed out having no more clients listening", operation.id))
        self._complete(operation, Failure(Code.DEADLINE_EXCEEDED, text), now)

    def _retention_over(self, operation: Operation, now: float) -> None:
        if operation.streaming:
            self.alarms.set(("retain", operation.id), now + self.limits.retain_completed)
        else:
            self._forget(operation)

    def _cancelled_retention_over(self, waiter: Waiter, now: float) -> None:
        if waiter.streams > 0:
            self.alarms.set(("waiter", waiter.name), now + self.limits.retain_completed)
        else:
            self._forget_waiter(waiter)

    def _forget(self, operation: Operation) -> None:
        self.alarms.clear(("retain", operation.id))
        self.retained_bytes -= self.retained.pop(operation.id)
        del self.operations[operation.id]
        self._changed.pop(operation.id, None)
        for waiter in list(operation.waiters.values()):
            self._forget_waiter(waiter)

    def _forget_waiter(self, waiter: Waiter) -> None:
        self.alarms.clear(("waiter", waiter.name))
        del self.waiters[waiter.name], waiter.operation.waiters[waiter.name]
        self._effects.append(Forget(waiter.name))

    def _trim(self) -> None:
        """Keep completed operations within bounds; those that somebody still reads stay."""
        limits = self.limits
        if len(self.retained) <= limits.most_retained and self.retained_bytes <= limits.most_retained_bytes:
            return
        for name in list(islice(self.retained, _TRIED_AT_ONCE)):
            if not self.operations[name].streaming:
                self._forget(self.operations[name])
            if len(self.retained) <= limits.most_retained and self.retained_bytes <= limits.most_retained_bytes:
                return

    def _view(self, name: str, operation: Operation, cancelled: Failure | None) -> OperationState:
        explained = self._explanation(operation)
        return OperationState(
            name=name,
            operation=operation.id,
            request=operation.request,
            priority=operation.priority,
            stage=Stage.COMPLETED if cancelled else operation.stage,
            since=operation.since,
            queued=operation.queued,
            worker_id=operation.worker,
            attempts=operation.attempts,
            waiters=len(operation.waiters),
            explanation=explained,
            unsatisfiable=bool(explained),
            outcome=cancelled or operation.outcome,
        )

    # Workers

    def _live_run(self, operation: Operation) -> Run | None:
        worker = self.pool.workers.get(operation.worker)
        run = worker.runs.get(operation.run) if worker else None
        return None if run is None or run.revoked else run

    def _run(self, name: str, run_id: str, now: float) -> tuple[Worker, Run] | None:
        """The run that a worker speaks of. One that it was not given means that we disagree: it must start afresh."""
        worker = self.pool.workers.get(name)
        if worker is None:
            return None
        run = worker.runs.get(run_id)
        if run is None:
            reason = f"Operation {run_id[:100]} should not be running on worker {name}"
            self._effects.append(Warn("Worker reported an operation that it was not given", run_id[:100], name))
            self._evict(worker, reason, now)
            return None
        self._spoke(name, now)
        return worker, run

    def _end(self, worker: Worker, run: Run) -> None:
        """A run is over, in whatever way: its place and what it took are free."""
        del worker.runs[run.id]
        worker.release(run)
        worker.completed += 1
        self.alarms.clear(("kill", _kill_alarm(worker, run)))
        self.alarms.clear(("resume", worker.id))
        worker.paused = ""

    def _revoke(self, run: Run, now: float) -> None:
        """Take a run from its worker: kill it, and hear no more of it but its end."""
        worker = self.pool.workers[run.operation.worker]
        run.revoked = True
        if worker.kills:
            self._effects.append(Kill(worker.id, run.id))
            self.alarms.set(("kill", _kill_alarm(worker, run)), now + self.limits.unacknowledged_kill_timeout)

    def _kill_ignored(self, alarm: str, now: float) -> None:
        name = alarm.partition(" ")[0]
        limit = self.limits.unacknowledged_kill_timeout
        reason = f"Worker {name} did not acknowledge a kill within {limit:g}s, removing from pool"
        self._evict(self.pool.workers[name], reason, now)

    def _pause(self, worker: Worker, reason: str, now: float) -> None:
        """It takes nothing until one of its actions ends, or, when it runs none, until a growing pause is over."""
        worker.paused = reason or "no reason given"
        worker.refusals += 1
        if not worker.runs:
            first, longest = self.limits.back_off
            pause = min(longest, first * 2 ** min(worker.refusals - 1, 30))
            self.alarms.set(("resume", worker.id), now + pause)

    def _resume(self, worker: Worker) -> None:
        worker.paused = ""
        self.pool.settle(worker, gained=True)

    def _evict(self, worker: Worker, reason: str, now: float) -> None:
        """A worker is out; what it ran goes back to the queue."""
        self.pool.remove(worker)
        self.alarms.clear(("worker", worker.id))
        self.alarms.clear(("resume", worker.id))
        self._effects.append(Disconnect(worker.id, reason, len(worker.runs)))
        for run in worker.runs.values():
            self.alarms.clear(("kill", _kill_alarm(worker, run)))
            if not run.revoked:
                self._lost(run.operation, reason, now)
        for group in self.queue.groups.values():
            self._recount(group, worker)


def _kill_alarm(worker: Worker, run: Run) -> str:
    return f"{worker.id} {run.id}"

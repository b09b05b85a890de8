"""What is true of the dispatch machine between two events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlserver.dispatch.matching import fits
from nlserver.dispatch.model import Stage

if TYPE_CHECKING:
    from nlserver.dispatch.records import Operation, Worker
    from nlserver.dispatch.state import State


def check(state: State) -> None:
    """Raise AssertionError naming what does not hold."""
    for operation in state.operations.values():
        _check_operation(state, operation)
    for worker in state.pool.workers.values():
        _check_worker(state, worker)
    _check_queue(state)
    _check_retention(state)
    assert {key for key, each in state.shared.items() if each.stage is Stage.COMPLETED} == set()


def _check_operation(state: State, operation: Operation) -> None:
    about = operation.id
    group = state.queue.groups.get(operation.needs)
    queued = group is not None and group.members.get(about) is operation
    runs = [
        run
        for worker in state.pool.workers.values()
        for run in worker.runs.values()
        if run.operation is operation and not run.revoked
    ]
    assert queued == (operation.stage is Stage.QUEUED), f"{about}: queued exactly when QUEUED"
    assert len(runs) == (operation.stage is Stage.EXECUTING), f"{about}: one live run exactly when EXECUTING"
    assert not runs or runs[0].id == operation.run, f"{about}: knows its run"
    assert (operation.outcome is not None) == (operation.stage is Stage.COMPLETED), f"{about}: outcome when COMPLETED"
    assert operation.attempts <= state.limits.max_job_retries + 1, f"{about}: attempts are limited"
    for name, waiter in operation.waiters.items():
        assert state.waiters[name] is waiter, f"{about}: waiters are known"
        assert waiter.streams >= 0, f"{about}: no stream ends twice"
    if operation.stage is not Stage.COMPLETED:
        assert operation.followed or ("client", about) in state.alarms, f"{about}: ends when nobody follows it"
        assert ("retain", about) not in state.alarms, f"{about}: is not forgotten before its end"


def _check_worker(state: State, worker: Worker) -> None:
    about, pool = worker.id, state.pool
    limit = worker.offer.max_inflight_tasks
    assert limit is None or len(worker.runs) <= limit, f"{about}: within its number of actions"
    for name, offered in worker.has.amounts.items():
        taken = sum(n for run in worker.runs.values() if not run.released for key, n in run.taken if key == name)
        assert worker.remaining[name] == offered - taken, f"{about}: {name} is accounted for"
        assert worker.remaining[name] >= 0, f"{about}: {name} is not overdrawn"
    assert (pool.ready.get(about) is worker) == worker.accepts, f"{about}: ready exactly when it accepts work"
    assert ("worker", about) in state.alarms, f"{about}: its silence is noticed"
    if worker.paused and not worker.runs:
        assert ("resume", about) in state.alarms, f"{about}: is asked again"
    for run in worker.runs.values():
        if run.revoked and worker.kills:
            assert ("kill", f"{about} {run.id}") in state.alarms, f"{about}: an ignored kill is noticed"


def _check_queue(state: State) -> None:
    assert state.queue.count == sum(len(group.members) for group in state.queue.groups.values())
    for group in state.queue.groups.values():
        fitting = [worker for worker in state.pool.workers.values() if fits(group.needs, worker.has)]
        assert group.members, "no group is empty"
        assert group.blocked, "every group was tried"
        assert group.fitting == len(fitting), "workers that fit are counted"
        assert bool(group.explanation) == (not fitting), "what nobody can run is explained"
        head = group.head()
        assert head is not None
        assert head.rank == min(member.rank for member in group.members.values()), "the best rank stands first"
        idle = [worker.id for worker in state.pool.ready.values() if worker.fits_now(group.needs)]
        assert not idle, f"{head.id} waits though {idle} could run it"


def _check_retention(state: State) -> None:
    done = {name for name, operation in state.operations.items() if operation.stage is Stage.COMPLETED}
    assert done == set(state.retained), "what is completed is retained"
    assert all(("retain", name) in state.alarms for name in done), "what is retained is forgotten in time"
    assert state.retained_bytes == sum(state.retained.values())
    assert all(waiter.operation.id in state.operations for waiter in state.waiters.values())

"""The shell around the machine: its config, its timer, its wake-ups, its log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

import pytest
from nlserver.clock import SystemClock
from nlserver.dispatch.effects import Disconnect, Kill, Start
from nlserver.dispatch.model import ActionRequest, Failure, Limits, Response, Stage, WorkerOffer
from nlserver.dispatch.properties import PropertyKind
from nlserver.errors import Code, Error
from nlserver.reapi.digest import of
from nlserver.schedulers.simple import AllocationStrategy, RedisBackendSpec, SimpleScheduler, SimpleSpec
from nlserver.spec import Site

REQUEST = ActionRequest("", of(b"action"))
FAST = Limits(worker_timeout=0.05, client_action_timeout=0.05, retain_completed=0.05)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop and its timers run until this callable says yes."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
async def scheduler():
    made = SimpleScheduler(Limits(), {"cpu": PropertyKind.MINIMUM}, SystemClock())
    yield made
    await made.close()


class TestSpec:
    def test_its_defaults_are_those_of_nativelink(self) -> None:
        limits = SimpleSpec().limits()
        assert limits == Limits(
            max_job_retries=3,
            worker_timeout=5,
            client_action_timeout=60,
            max_action_executing_timeout=None,
            unacknowledged_kill_timeout=60,
            retain_completed=60,
        )

    def test_every_limit_is_the_operators(self) -> None:
        spec = SimpleSpec(
            max_job_retries=7,
            worker_timeout_s=8,
            client_action_timeout_s=9,
            max_action_executing_timeout_s=10,
            unacknowledged_kill_timeout_s=11,
            retain_completed_for_s=12,
            allocation_strategy=AllocationStrategy.MOST_RECENTLY_USED,
        )
        assert spec.limits() == Limits(
            max_job_retries=7,
            worker_timeout=8,
            client_action_timeout=9,
            max_action_executing_timeout=10,
            unacknowledged_kill_timeout=11,
            retain_completed=12,
            newest_worker_first=True,
        )

    def test_redis_says_that_it_is_not_there_yet(self) -> None:
        spec = SimpleSpec(experimental_backend=RedisBackendSpec(redis_store="R"))
        with pytest.raises(Error, match="redis") as caught:
            spec.build(Site())
        assert caught.value.code is Code.UNIMPLEMENTED

    async def test_closing_the_site_closes_it(self) -> None:
        site = Site({"scheduler": {"MAIN": SimpleSpec()}})
        scheduler = site.named("scheduler", "MAIN")
        seat = scheduler.join(WorkerOffer("w"))
        await site.close()
        assert [order async for order in seat.orders()] == [Disconnect(seat.worker_id, "Scheduler shutdown", 0)]
        with pytest.raises(Error) as caught:
            scheduler.join(WorkerOffer("w"))
        assert caught.value.code is Code.UNAVAILABLE


class TestClients:
    async def test_the_property_names_are_the_configured_ones(self, scheduler) -> None:
        assert (await scheduler.abilities("any")).property_names == ("cpu",)

    async def test_nothing_is_submitted_before_the_first_pull(self, scheduler) -> None:
        states = scheduler.submit(REQUEST)
        assert not scheduler.operations()
        assert (await anext(states)).stage is Stage.QUEUED
        assert len(scheduler.operations()) == 1
        await states.aclose()

    async def test_a_slow_reader_is_shown_the_latest_state_alone(self, scheduler) -> None:
        async with aclosing(scheduler.submit(REQUEST)) as states:
            assert (await anext(states)).stage is Stage.QUEUED
            seat = scheduler.join(WorkerOffer("w"))
            order = await anext(seat.orders())
            assert isinstance(order, Start)
            seat.executed(order.run)
            seat.finished(order.run, b"done")
            rest = [state async for state in states]
        assert [(state.stage, state.outcome) for state in rest] == [(Stage.COMPLETED, Response(b"done"))]

    async def test_a_full_queue_is_an_error(self) -> None:
        scheduler = SimpleScheduler(Limits(most_queued=1), {}, SystemClock())
        first = scheduler.submit(REQUEST)
        await anext(first)
        with pytest.raises(Error) as caught:
            await anext(scheduler.submit(ActionRequest("", of(b"other"))))
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
        await first.aclose()
        await scheduler.close()

    async def test_a_property_that_is_no_number_is_an_error_and_queues_nothing(self, scheduler) -> None:
        with pytest.raises(Error) as caught:
            await anext(scheduler.submit(ActionRequest("", of(b"x"), (("cpu", "x"),))))
        assert caught.value.code is Code.INVALID_ARGUMENT
        assert not scheduler.operations()

    async def test_an_operations_own_id_is_no_name_to_follow_but_one_to_cancel(self, scheduler) -> None:
        states = scheduler.submit(REQUEST)
        state = await anext(states)
        assert state.operation != state.name
        with pytest.raises(Error, match="not the name that a client was given"):
            await anext(scheduler.watch(state.operation))
        await scheduler.cancel(state.operation)
        assert (await anext(states)).outcome == Failure(Code.CANCELLED, "the operation was cancelled")

    async def test_streams_on_one_name_are_limited(self, scheduler) -> None:  # HX-35
        states = scheduler.submit(REQUEST)
        name = (await anext(states)).name
        others = [scheduler.watch(name) for _ in range(999)]
        for other in others:
            await anext(other)
        with pytest.raises(Error) as caught:
            await anext(scheduler.watch(name))
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
        for stream in (states, *others):
            await stream.aclose()
        assert not scheduler.followed


class TestTime:
    async def test_a_silent_worker_is_dropped_by_the_timer(self) -> None:
        scheduler = SimpleScheduler(FAST, {}, SystemClock())
        seat = scheduler.join(WorkerOffer("w"))
        async with asyncio.timeout(60):
            orders = [order async for order in seat.orders()]
        assert orders == [Disconnect(seat.worker_id, f"Worker {seat.worker_id} timed out, removing from pool", 0)]
        await scheduler.close()

    async def test_what_nobody_follows_ends_and_is_forgotten_by_the_timer(self) -> None:
        scheduler = SimpleScheduler(FAST, {}, SystemClock())
        states = scheduler.submit(REQUEST)
        await anext(states)
        await states.aclose()
        await until(lambda: not scheduler.operations())
        await scheduler.close()

    async def test_standing_still_is_not_taken_for_silence_of_workers(self) -> None:
        class Jumping:
            def __init__(self) -> None:
                self.ahead = 0.0

            def wall(self) -> float:
                return SystemClock().wall()

            def monotonic(self) -> float:
                return SystemClock().monotonic() + self.ahead

        clock = Jumping()
        scheduler = SimpleScheduler(Limits(worker_timeout=0.05), {}, clock)
        seat = scheduler.join(WorkerOffer("w"))
        clock.ahead = 100.0
        await until(lambda: scheduler._excused)
        assert scheduler.workers(), "the timer rang late, so workers are heard before they are judged"
        seat.spoke()
        assert scheduler.workers()
        await scheduler.close()


class TestWorkers:
    async def test_a_kill_reaches_the_worker_after_the_start(self, scheduler) -> None:
        seat = scheduler.join(WorkerOffer("w"))
        states = scheduler.submit(REQUEST)
        state = await anext(states)
        await scheduler.cancel(state.name)
        orders = seat.orders()
        start, kill = await anext(orders), await anext(orders)
        assert isinstance(start, Start)
        assert kill == Kill(seat.worker_id, start.run)
        await states.aclose()

    async def test_what_was_not_delivered_when_a_worker_leaves_is_not_delivered(self, scheduler) -> None:
        seat = scheduler.join(WorkerOffer("w"))
        states = scheduler.submit(REQUEST)
        await anext(states)
        seat.leave("bye")
        seat.leave("again")
        assert [order async for order in seat.orders()] == [Disconnect(seat.worker_id, "bye", 1)]
        await states.aclose()

    async def test_a_worker_with_a_property_that_is_no_number_gets_no_seat(self, scheduler) -> None:
        with pytest.raises(Error) as caught:
            scheduler.join(WorkerOffer("w", (("cpu", "four"),)))
        assert caught.value.code is Code.INVALID_ARGUMENT
        assert not scheduler.workers()


class TestLog:
    async def test_what_no_worker_can_run_is_a_warning_with_the_nearest_worker(self, scheduler, caplog) -> None:
        logging.getLogger("nlserver").propagate = True
        with caplog.at_level(logging.WARNING, logger="nlserver"):
            scheduler.join(WorkerOffer("small", (("cpu", "1"),)))
            states = scheduler.submit(ActionRequest("", of(b"big"), (("cpu", "64"),)))
            state = await anext(states)
        assert state.explanation == "small offers cpu=1, asked 64"
        (record,) = caplog.records
        assert record.getMessage() == "No connected worker can run this operation"
        assert record.facts == {"operation": state.operation, "reason": state.explanation}
        await states.aclose()

    async def test_what_waits_is_reported_while_it_waits(self, caplog) -> None:
        logging.getLogger("nlserver").propagate = True
        scheduler = SimpleScheduler(Limits(), {}, SystemClock(), report_seconds=0.01)
        scheduler.join(WorkerOffer("w", max_inflight_tasks=1))
        streams = [scheduler.submit(ActionRequest("", of(data))) for data in (b"a", b"b")]
        for states in streams:
            await anext(states)
        with caplog.at_level(logging.INFO, logger="nlserver"):
            await until(lambda: bool(caplog.records))
        facts = caplog.records[0].facts
        assert caplog.records[0].getMessage() == "Operations wait for a worker"
        assert (facts["queued"], facts["workers"], facts["reason"]) == (1, 1, "w runs 1 of 1 actions")
        for states in streams:
            await states.aclose()
        await scheduler.close()

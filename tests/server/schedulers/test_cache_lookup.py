"""What the action cache has is the answer, and everything else is the other scheduler's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from nlserver.dispatch.effects import Start
from nlserver.dispatch.model import ActionRequest, Limits, OperationState, Response, Stage, WorkerOffer
from nlserver.errors import Code, Error
from nlserver.eviction import UNBOUNDED
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import Function, of
from nlserver.scheduler import Abilities
from nlserver.schedulers.cache_lookup import CacheLookup, CacheLookupSpec
from nlserver.schedulers.simple import SimpleScheduler, SimpleSpec
from nlserver.spec import Site
from nlserver.store import Key, Wrapper
from nlserver.stores.memory import Memory, MemorySpec

ACTION = of(b"an action")
REQUEST = ActionRequest("main", ACTION, priority=3)
SUCCESS = rx.ActionResult(stdout_raw=b"hello", output_files=[rx.OutputFile(path="a")])
DONE = rx.ExecuteResponse(result=rx.ActionResult(stdout_raw=b"run"))


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


class Results(Wrapper):
    """An action cache that counts look-ups and answers when it is let."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(Memory(UNBOUNDED, clock))
        self.asked: list[Key] = []
        self.arrived = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self.failure: Error | None = None

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        self.asked.append(key)
        self.arrived.set()
        await self.answers.wait()
        if self.failure is not None:
            raise self.failure
        return await super().get(key, most)


class Shop:
    """A scheduler with a cache in front, and a worker behind."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.results = Results(self.clock)
        self.simple = SimpleScheduler(Limits(), {"cpu": "exact"}, self.clock)  # type: ignore[dict-item]
        self.scheduler = CacheLookup(self.simple, self.results, self.clock)

    async def cached(self, result: rx.ActionResult, request: ActionRequest = REQUEST) -> None:
        await self.results.put(request.action, result.SerializeToString())

    async def first(self, request: ActionRequest = REQUEST) -> OperationState:
        async with aclosing(self.scheduler.submit(request)) as states:
            return await anext(states)

    async def work(self) -> None:
        """A worker joins and finishes the action that waits."""
        seat = self.scheduler.join(WorkerOffer("worker"))
        async with asyncio.timeout(60):
            order = await anext(aiter(seat.orders()))
        assert isinstance(order, Start)
        seat.finished(order.run, DONE.SerializeToString())


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made = Shop()
    yield made
    await made.scheduler.close()
    await made.simple.close()


def response(state: OperationState) -> rx.ExecuteResponse:
    assert isinstance(state.outcome, Response)
    return rx.ExecuteResponse.FromString(state.outcome.data)


async def test_a_cached_result_is_the_end_at_once(shop: Shop) -> None:  # EXE-18
    await shop.cached(SUCCESS)
    states = [state async for state in shop.scheduler.submit(REQUEST)]
    (state,) = states
    assert (state.stage, state.request, state.priority) == (Stage.COMPLETED, REQUEST, 3)
    assert response(state) == rx.ExecuteResponse(result=SUCCESS, cached_result=True, status={})
    assert response(state).HasField("status")
    assert shop.simple.operations() == []


async def test_what_is_not_cached_runs(shop: Shop) -> None:
    async with aclosing(shop.scheduler.submit(REQUEST)) as states:
        assert (await anext(states)).stage is Stage.QUEUED
        await shop.work()
        *_, last = [state async for state in states]
    assert response(last) == DONE
    assert not response(last).cached_result


@pytest.mark.parametrize("flag", ["skip_cache_lookup", "do_not_cache"])
async def test_whoever_wants_no_cached_result_gets_none(shop: Shop, flag: str) -> None:  # EXE-17, EXE-19
    await shop.cached(SUCCESS)
    request = ActionRequest("main", ACTION, **{flag: True})  # type: ignore[arg-type]
    assert (await shop.first(request)).stage is Stage.QUEUED
    assert shop.results.asked == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xff",
        rx.ActionResult(exit_code=1).SerializeToString(),
        rx.ActionResult(stdout_raw=bytes(4 << 20)).SerializeToString(),
    ],
)
async def test_what_is_no_answer_runs(shop: Shop, data: bytes) -> None:
    await shop.results.put(ACTION, data)
    assert (await shop.first()).stage is Stage.QUEUED


async def test_the_digest_function_is_part_of_the_action(shop: Shop) -> None:
    await shop.cached(SUCCESS)
    other = ActionRequest("main", ACTION._replace(function=Function.BLAKE3))
    assert (await shop.first(other)).stage is Stage.QUEUED
    await shop.cached(SUCCESS, other)
    assert response(await shop.first(other)).result == SUCCESS


async def test_a_cache_that_cannot_answer_is_told_before_there_is_an_operation(shop: Shop) -> None:
    shop.results.failure = Error(Code.UNAVAILABLE, "the cache is away")
    for _ in range(2):
        with pytest.raises(Error, match="the cache is away") as caught:
            await shop.first()
        assert caught.value.code is Code.UNAVAILABLE
    assert shop.simple.operations() == []


async def test_equal_actions_are_looked_up_once(shop: Shop) -> None:
    await shop.cached(SUCCESS)
    shop.results.answers.clear()
    waiting = [asyncio.create_task(shop.first()) for _ in range(20)]
    leaver = asyncio.create_task(shop.first())
    await shop.results.arrived.wait()
    leaver.cancel()
    shop.results.answers.set()
    states = await asyncio.gather(*waiting)
    assert len({state.name for state in states}) == 20
    assert {response(state).cached_result for state in states} == {True}
    assert shop.results.asked == [ACTION]
    await shop.first()
    assert len(shop.results.asked) == 2


async def test_a_question_goes_on_when_whoever_asked_first_leaves(shop: Shop) -> None:
    await shop.cached(SUCCESS)
    shop.results.answers.clear()
    first, second = (asyncio.create_task(shop.first()) for _ in range(2))
    await shop.results.arrived.wait()
    first.cancel()
    shop.results.answers.set()
    assert response(await second).cached_result
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_closing_ends_questions(shop: Shop) -> None:
    shop.results.answers.clear()
    asking = asyncio.create_task(shop.first())
    await shop.results.arrived.wait()
    await shop.scheduler.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_what_the_cache_ended_can_be_asked_for_again_for_a_minute(shop: Shop) -> None:
    await shop.cached(SUCCESS)
    hit = await shop.first()
    assert await shop.scheduler.get(hit.name) == hit
    assert [state async for state in shop.scheduler.watch(hit.name)] == [hit]
    await shop.scheduler.cancel(hit.name)
    assert await shop.scheduler.get(hit.name) == hit
    shop.clock.now += 61
    for refused in (
        shop.scheduler.get(hit.name),
        shop.scheduler.cancel(hit.name),
        anext(shop.scheduler.watch(hit.name)),
    ):
        with pytest.raises(Error) as caught:
            await refused
        assert caught.value.code is Code.NOT_FOUND
    assert shop.scheduler._hits == {}


async def test_what_is_kept_for_asking_again_is_bounded(shop: Shop) -> None:
    await shop.cached(rx.ActionResult(stdout_raw=bytes(3 << 20)))
    hits = [await shop.first() for _ in range(20)]
    held = sum(
        len(state.outcome.data) for state in shop.scheduler._hits.values() if isinstance(state.outcome, Response)
    )
    assert held < 16 << 20
    assert await shop.scheduler.get(hits[-1].name) == hits[-1]


async def test_an_operation_that_runs_is_followed_through_the_cache(shop: Shop) -> None:
    async with aclosing(shop.scheduler.submit(REQUEST)) as states:
        name = (await anext(states)).name
        assert (await shop.scheduler.get(name)).stage is Stage.QUEUED
        assert (await anext(shop.scheduler.watch(name))).stage is Stage.QUEUED
        await shop.scheduler.cancel(name)
        *_, last = [state async for state in states]
    assert last.stage is Stage.COMPLETED


async def test_workers_and_operators_reach_the_scheduler_behind(shop: Shop) -> None:
    scheduler = shop.scheduler
    assert scheduler.takes_workers
    assert await scheduler.abilities("main") == Abilities(("cpu",))
    seat = scheduler.join(WorkerOffer("worker"))
    assert [worker.id for worker in scheduler.workers()] == [seat.worker_id]
    scheduler.drain(seat.worker_id, True)
    async with aclosing(scheduler.submit(REQUEST)) as states:
        await anext(states)
        (operation,) = scheduler.operations()
        assert scheduler.explain(operation.operation) == shop.simple.explain(operation.operation)
        scheduler.stop()
        with pytest.raises(Error, match="shutting down"):
            await anext(states)


async def test_a_config_builds_it() -> None:
    site = Site({"store": {"AC": MemorySpec()}})
    scheduler = CacheLookupSpec(ac_store="AC", scheduler=SimpleSpec()).build(site)
    assert isinstance(scheduler, CacheLookup)
    await site.close()
    with pytest.raises(Error, match="'BC' does not exist"):
        CacheLookupSpec(ac_store="BC", scheduler=SimpleSpec()).build(site)
    await site.close()

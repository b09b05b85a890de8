"""Work on many items, some at a time."""

from __future__ import annotations

import asyncio

import pytest
from nlserver.transfer.spread import spread


@pytest.mark.parametrize("count", [0, 1, 5, 1000])
async def test_results_stand_in_the_order_of_the_items(count: int) -> None:
    async def work(item: int) -> int:
        if item % 3 == 0:
            await asyncio.sleep(0)
        return item * 2

    assert await spread(range(count), work, 8) == [item * 2 for item in range(count)]


async def test_no_more_than_so_many_are_under_way() -> None:
    gate, under_way, most = asyncio.Event(), 0, 0

    async def work(item: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if most == 4:
            gate.set()
        await gate.wait()
        under_way -= 1

    await spread(range(50), work, 4)
    assert most == 4


async def test_work_that_never_waits_lets_others_in_between() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def work(item: int) -> None:
        pass

    task = asyncio.create_task(other())
    await spread(range(10_000), work, 4)
    task.cancel()
    assert turns > 10


async def test_where_nothing_waits_no_task_is_made() -> None:
    before = asyncio.all_tasks()

    async def work(item: int) -> int:
        assert asyncio.all_tasks() == before
        return item

    assert await spread(range(100), work, 8) == list(range(100))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_whoever_is_cancelled_leaves_no_work_behind() -> None:
    under_way: set[int] = set()
    full = asyncio.Event()

    async def work(item: int) -> None:
        under_way.add(item)
        if len(under_way) == 4:
            full.set()
        try:
            await asyncio.Event().wait()
        finally:
            under_way.discard(item)

    task = asyncio.create_task(spread(range(10), work, 4))
    await full.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not under_way


async def test_an_exception_ends_everything() -> None:
    ended = asyncio.Event()

    async def work(item: int) -> None:
        if item == 1:
            raise ValueError
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(ExceptionGroup):
        await spread(range(2), work, 2)
    assert ended.is_set()

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

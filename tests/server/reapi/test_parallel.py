"""Work on many items at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from nlserver.errors import Code, Error
from nlserver.reapi.parallel import each


@pytest.mark.parametrize(("items", "at_once"), [(0, 4), (1, 4), (3, 4), (9, 4), (9, 1)])
async def test_every_item_is_worked_on_once_and_no_more_of_them_than_allowed_at_a_time(
    items: int, at_once: int
) -> None:
    done: list[int] = []
    under_way = most = 0

    async def work(item: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        done.append(item)

    await each(range(items), work, at_once)
    assert sorted(done) == list(range(items))
    assert most == min(items, at_once)


async def test_one_item_and_work_one_by_one_cost_no_task() -> None:
    here = asyncio.current_task()

    async def work(item: int) -> None:
        assert asyncio.current_task() is here

    await each([1], work, 16)
    await each([1, 2, 3], work, 1)


async def test_items_are_taken_when_there_is_room_for_them() -> None:
    taken: list[int] = []
    gate = asyncio.Event()

    def items() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    async def work(item: int) -> None:
        await gate.wait()

    running = asyncio.create_task(each(items(), work, 3))
    await asyncio.sleep(0.001)
    assert taken == [0, 1, 2]
    gate.set()
    await running
    assert taken == list(range(10))


@pytest.mark.parametrize("items", [1, 5])
async def test_the_first_failure_comes_out_itself(items: int) -> None:
    async def work(item: int) -> None:
        if item == 0:
            raise Error(Code.ABORTED, "no")
        await asyncio.Event().wait()

    with pytest.raises(Error, match="no"):
        await each(range(items), work, 3)

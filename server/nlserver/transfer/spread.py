"""Work on many items, some at a time, that costs little where nothing has to wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_ITEMS_A_TURN: Final = 256
"""After so many items without a wait others get their turn on the loop: about 5 ms."""


async def spread(items: Sequence[T], work: Callable[[T], Awaitable[R]], at_once: int) -> list[R]:
    """What `work` gives for each item, in order, with at most `at_once` of them under way.

    Items are taken from one row by the caller and a few tasks, the first of which starts only once the caller has to
    wait: where nothing waits there is no task at all. `work` must answer expected failures as values: an exception
    ends everything.
    """
    results: dict[int, R] = {}
    row = deque(enumerate(items))
    if len(items) <= 1:
        await _take(row, work, results)
        return list(results.values())
    loop = asyncio.get_running_loop()
    next_one: asyncio.Handle
    async with asyncio.TaskGroup() as tasks:

        def join() -> None:
            # Called while everybody else waits.
            nonlocal at_once, next_one
            at_once -= 1
            if row and at_once > 0:
                tasks.create_task(_take(row, work, results))
                next_one = loop.call_soon(join)

        next_one = loop.call_soon(join)
        try:
            await _take(row, work, results)
        finally:
            next_one.cancel()
    return [results[place] for place in range(len(items))]


async def _take(row: deque[tuple[int, T]], work: Callable[[T], Awaitable[R]], results: dict[int, R]) -> None:
    while row:
        place, item = row.popleft()
        results[place] = await work(item)
        if place % _ITEMS_A_TURN == _ITEMS_A_TURN - 1:
            await asyncio.sleep(0)

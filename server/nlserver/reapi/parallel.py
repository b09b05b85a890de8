"""Some work at a time on many items, where the first failure is everybody's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


async def each(items: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Do `work` on each item, at most `at_once` under way; items are taken when there is room for them.

    Raises the first failure itself, after the others have been cancelled.
    """
    row = iter(items)
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(_take(row, work))
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


async def _take(row: Iterator[T], work: Callable[[T], Awaitable[None]]) -> None:
    for item in row:
        await work(item)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first

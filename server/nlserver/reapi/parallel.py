"""Some work at a time on many items, where the first failure is everybody's."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


async def each(items: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Do `work` on each item, at most `at_once` under way; items are taken when there is room for them.

    Raises the first failure itself, after the others have been cancelled.
    """
    row = iter(items)
    begun = list(itertools.islice(row, at_once))
    if len(begun) <= 1:
        await _take(itertools.chain(begun, row), work)
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            for item in begun:
                tasks.create_task(_take(itertools.chain((item,), row), work))
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


async def _take(row: Iterator[T], work: Callable[[T], Awaitable[None]]) -> None:
    for item in row:
        await work(item)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first

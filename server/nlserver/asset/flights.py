"""The same work, asked for by many at a time, is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from nlserver import fs

T = TypeVar("T")


class Flights(Generic[T]):
    """Work under way, by what it is for. It is ended when nobody waits for it any more."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}
        self._waiting: dict[asyncio.Task[T], int] = {}

    async def join(self, what: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the work under this name gives; `start` begins it unless it is under way."""
        task = self._tasks.get(what)
        if task is None:
            task = self._tasks[what] = asyncio.create_task(start())
            task.add_done_callback(lambda done: self._landed(what, done))
        self._waiting[task] = self._waiting.get(task, 0) + 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                await self._abandon(what, task)

    async def _abandon(self, what: Hashable, task: asyncio.Task[T]) -> None:
        if not task.done():
            # Whoever asks from now on begins anew.
            self._landed(what, task)
            task.cancel()
            await fs.settled(task)

    def _landed(self, what: Hashable, task: asyncio.Task[T]) -> None:
        if self._tasks.get(what) is task:
            del self._tasks[what]

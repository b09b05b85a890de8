"""Many small questions as few calls: whatever was asked while the calls before were under way goes out together.

A call costs about 200 us on both sides together, whatever it carries. Nothing waits for others to come: with a free
slot a question leaves on the same turn of the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from nlserver.errors import Code, Error

Q = TypeVar("Q")
A = TypeVar("A")
_MOST_ITEMS: Final = 4_000


class Coalescer(Generic[Q, A]):
    """Sends what queued up in batches, with at most `slots` of them under way.

    `send` takes one to `most_items` questions and gives an answer or an Error for each, in order; an Error that it
    raises is everybody's. Weights are bytes: a batch has at most `most_weight`, unless one question alone has more.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Q]], Awaitable[Sequence[A | Error]]],
        *,
        most_weight: int,
        most_items: int = _MOST_ITEMS,
        slots: int = 2,
    ) -> None:
        self._send = send
        self.most_weight = most_weight
        self._most_items = most_items
        self._free = slots
        self._queued_weight = 0
        self._queue: deque[tuple[Q, int, asyncio.Future[A]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = False
        self._closed = False

    @property
    def queued_weight(self) -> int:
        """The weight of what waits for a free slot."""
        return self._queued_weight

    async def ask(self, question: Q, weight: int = 0) -> A:
        """The answer. Raises Error; a caller that is cancelled leaves the others' batch alone."""
        if self._closed:
            raise Error(Code.CANCELLED, "the connection is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._queue.append((question, weight, future))
        self._queued_weight += weight
        if self._free and not self._woken:
            self._woken = True
            # One turn later everybody who asks in this turn is in the queue.
            loop.call_soon(self._wake)
        return await future

    async def close(self) -> None:
        """Refuse new questions and end the calls under way."""
        self._closed = True
        while self._queue:
            _fail(self._queue.popleft()[2], Error(Code.CANCELLED, "the connection was closed meanwhile"))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _wake(self) -> None:
        self._woken = False
        while self._free and (batch := self._batch()):
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _batch(self) -> list[tuple[Q, asyncio.Future[A]]]:
        batch: list[tuple[Q, asyncio.Future[A]]] = []
        total = 0
        while self._queue and len(batch) < self._most_items:
            question, weight, future = self._queue[0]
            if batch and total + weight > self.most_weight:
                break
            self._queue.popleft()
            self._queued_weight -= weight
            if not future.done():
                batch.append((question, future))
                total += weight
        return batch

    async def _run(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        while batch:
            await self._sent(batch)
            batch = self._batch()
        self._free += 1

    async def _sent(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._send([question for question, _ in batch])
            pairs = list(zip(batch, answers, strict=True))
        except asyncio.CancelledError:
            _fail_all(batch, Error(Code.CANCELLED, "the connection was closed meanwhile"))
            raise
        except Exception as failure:
            # Whoever asked is told, whatever it is: nobody else looks at this task.
            _fail_all(batch, failure)
        else:
            for (_, future), answer in pairs:
                if isinstance(answer, Error):
                    _fail(future, answer)
                elif not future.done():
                    future.set_result(answer)


def _fail_all(batch: Sequence[tuple[Any, asyncio.Future[Any]]], failure: Exception) -> None:
    for _, future in batch:
        _fail(future, failure)


def _fail(future: asyncio.Future[Any], failure: Exception) -> None:
    if not future.done():
        future.set_exception(failure)

"""Work that must come to its end before anybody tidies up after it, also when the one who waits is cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from nlserver import fs
from nlserver.errors import Code, Error

T = TypeVar("T")
P = ParamSpec("P")


class Stop:
    """A wish, for work in a thread, to be done with it."""

    def __init__(self) -> None:
        self._wished = threading.Event()

    def wish(self) -> None:
        """Let the next `check` raise."""
        self._wished.set()

    def check(self) -> None:
        """Raise Error CANCELLED once somebody wished to stop: call it between two pieces of work."""
        if self._wished.is_set():
            raise Error(Code.CANCELLED, "stopped")


async def finished(work: Awaitable[T]) -> T:
    """The result of `work`, which is never cancelled; being cancelled meanwhile is raised after its end."""
    task = asyncio.ensure_future(work)
    await fs.settled(task)
    return task.result()


async def stoppable(work: Callable[Concatenate[Stop, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `fs.in_thread`, for work that looks at a Stop, its first argument, in order to end early."""
    stop = Stop()
    task = asyncio.ensure_future(fs.in_thread(work, stop, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.wish()
        await fs.settled(task)
        raise


def heed_cancelling() -> None:
    """Raise CancelledError when somebody wants this task to end.

    A TaskGroup of Python 3.11 forgets that, if one of its tasks fails at the same time.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

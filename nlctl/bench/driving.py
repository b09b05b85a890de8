"""Calling again and again: the closed loop, which asks for the next when it has an answer, and the open one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

import grpc
from nlserver.errors import Error

from nlctl.bench.calls.call import Call, Wrong
from nlctl.bench.histogram import Histogram
from nlctl.bench.orders import Go, Tally
from nlctl.bench.pacer import Pacer
from nlctl.bench.schedule import arrivals

_MOST_WAITING: Final = 20_000
"""Calls of the open loop under way; what comes due beyond that is counted as failed."""
_NEVER: Final = 1 << 63
OVERLOADED: Final = "OVERLOADED"


async def drive(call: Call, go: Go) -> Tally:
    """One round."""
    with Pacer() as pacer:
        round_ = _Round(call)
        await pacer.until(go.start)
        spent, begun = time.process_time(), time.monotonic()
        await (round_.open(go, pacer) if go.rate else round_.closed(go))
        took = max(round_.last_end / 1e9 - begun, 1e-9)
        cpu = time.process_time() - spent
    return Tally(
        len(round_.times),
        round_.moved,
        took,
        cpu,
        dict(round_.errors),
        Histogram(round_.times),
        Histogram(round_.lags),
    )


class _Round:
    """What happens in one round."""

    def __init__(self, call: Call) -> None:
        self._once: Callable[[], Coroutine[Any, Any, int]] = call.once
        self.moved = 0
        self.times: list[int] = []
        self.lags: list[int] = []
        self.errors: Counter[str] = Counter()
        self.last_end = 0

    async def _call(self, since: int) -> None:
        """One call, whose time counts from `since`."""
        try:
            moved = await self._once()
        except grpc.aio.AioRpcError as error:
            self.errors[error.code().name] += 1
        except Error as error:
            self.errors[error.code.name] += 1
        except Wrong:
            self.errors["WRONG_ANSWER"] += 1
        else:
            self.moved += moved
            self.last_end = time.monotonic_ns()
            self.times.append(self.last_end - since)

    async def closed(self, go: Go) -> None:
        """Each of `at_once` callers asks again when it has an answer, until the time is over or the calls are done."""
        end = _NEVER if go.calls else time.monotonic_ns() + int(go.seconds * 1e9)
        left = iter(range(go.calls)) if go.calls else iter(int, 1)

        async def caller() -> None:
            for _ in left:
                now = time.monotonic_ns()
                if now >= end:
                    return
                await self._call(now)

        async with asyncio.TaskGroup() as callers:
            for _ in range(go.at_once):
                callers.create_task(caller())

    async def open(self, go: Go, pacer: Pacer) -> None:
        """Calls start when they are due, whatever became of those before."""
        waiting: set[asyncio.Task[None]] = set()
        for due in arrivals(go.rate, go.seconds, go.seed):
            await pacer.until(go.start + due)
            if len(waiting) >= _MOST_WAITING:
                self.errors[OVERLOADED] += 1
                continue
            since = int((go.start + due) * 1e9)
            self.lags.append(max(time.monotonic_ns() - since, 0))
            task = asyncio.create_task(self._call(since))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await asyncio.gather(*waiting)

"""Time limits that a busy machine does not use up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_TICK_SECONDS: Final = 0.1


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError in the block when it takes longer than this.

    What counts is the time in which this process could run: where many others want the processors, what is asked gets
    them no sooner than who asks, and its answer is late, not lost.
    """
    async with asyncio.timeout(None) as limit:
        ticking = asyncio.create_task(_ticked(limit, seconds))
        try:
            yield
        finally:
            ticking.cancel()


async def _ticked(limit: asyncio.Timeout, seconds: float) -> None:
    for _ in range(max(1, round(seconds / _TICK_SECONDS))):
        await asyncio.sleep(_TICK_SECONDS)
    limit.reschedule(asyncio.get_running_loop().time())

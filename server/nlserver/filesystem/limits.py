"""A store kept below its limits while it is written to: who waits, and for what."""

from __future__ import annotations

import asyncio
from typing import Final

from nlserver import fs
from nlserver.eviction import Held
from nlserver.filesystem.directory import Directory
from nlserver.filesystem.evictor import Evictor, Outcome

_PATIENCE_SECONDS: Final = 10.0
"""How long a writer waits for another process that evicts; then the limits are passed by what was written."""
_POLL_SECONDS: Final = 0.005


class Limits:
    """The limits of one store directory, as its writers meet them."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._turn = asyncio.Lock()
        self._look: asyncio.Task[None] | None = None
        self.unfinished = asyncio.Event()
        """Set when a pass is to go on in the background."""

    async def hold(self, size: int) -> None:
        """Return when the limits hold after a value of so many bytes was written, or when nothing can be done.

        Writers wait for slices of a pass, not for its low watermark. Where much is to go, because a limit was
        lowered or the store was never counted, a writer waits until as much went as it brought.
        """
        evictor, usage = self._directory.evictor, self._directory.usage
        if evictor is None or usage is None:
            return
        waited = 0.0
        before = usage.read()
        while waited < _PATIENCE_SECONDS and self._may_be_over(usage.read()):
            before = before or usage.read()
            outcome = await self._step(evictor)
            if outcome is Outcome.DONE:
                return
            if outcome is Outcome.BUSY:
                await asyncio.sleep(_POLL_SECONDS)
                waited += _POLL_SECONDS
                continue
            self.unfinished.set()
            if outcome is Outcome.BLIND and not await self._looked(evictor):
                return
            if outcome is Outcome.MORE and _is_paid(before, usage.read(), size):
                return

    async def finish(self) -> None:
        """Run a pass to its end."""
        self.unfinished.clear()
        evictor = self._directory.evictor
        looks = 0
        while evictor is not None:
            outcome = await self._step(evictor)
            if outcome is Outcome.BLIND and looks == 0:
                looks += 1
                await self._looking(evictor)
            elif outcome is not Outcome.MORE:
                return

    async def close(self) -> None:
        """Wait for a look that is under way."""
        if self._look is not None:
            await fs.settled(self._look)

    async def _step(self, evictor: Evictor) -> Outcome:
        async with self._turn:
            outcome = await fs.in_thread(evictor.step)
        if evictor.runs_short:
            self._looking(evictor)
        return outcome

    async def _looked(self, evictor: Evictor) -> bool:
        """Whether it is known what could go, once somebody looked; nobody waits for a look at a large directory."""
        look = self._looking(evictor)
        if await fs.in_thread(lambda: evictor.is_large):
            return False
        await asyncio.shield(look)
        return evictor.sees

    def _looking(self, evictor: Evictor) -> asyncio.Task[None]:
        """The look that is under way, or a new one."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(fs.in_thread(evictor.look))
        return self._look

    def _may_be_over(self, held: Held | None) -> bool:
        limits = self._directory.policy
        if held is None:
            return True
        return (limits.max_bytes != 0 and held.size >= limits.max_bytes) or (
            limits.max_count != 0 and held.count > limits.max_count
        )


def _is_paid(before: Held | None, held: Held | None, size: int) -> bool:
    """Whether as much went since as came with a value of this size."""
    return before is not None and held is not None and held.count < before.count and held.size <= before.size - size

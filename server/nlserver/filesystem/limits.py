"""A store kept below its limits while it is written to: who waits, and for what."""

from __future__ import annotations

import asyncio
from typing import Final

from nlserver import fs
from nlserver.eviction import Held
from nlserver.filesystem.directory import Directory
from nlserver.filesystem.evictor import Outcome

_PATIENCE_SECONDS: Final = 10.0
"""How long a writer waits for another process that evicts; then the limits are passed by what was written."""
_POLL_SECONDS: Final = 0.005


class Limits:
    """The limits of one store directory, as its writers meet them."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._turn = asyncio.Lock()
        self.unfinished = asyncio.Event()
        """Set when a pass is below the limits but not yet at its low watermark."""

    async def hold(self) -> None:
        """Return when the limits hold after a write, or when nothing can be done about it.

        Writers wait for slices of a pass, not for its low watermark.
        """
        directory = self._directory
        if directory.evictor is None or directory.usage is None:
            return
        waited = 0.0
        held = directory.usage.read()
        while waited < _PATIENCE_SECONDS and (held is None or self._is_over(held)):
            async with self._turn:
                outcome = await fs.in_thread(directory.evictor.step)
            if outcome is Outcome.DONE:
                return
            if outcome is Outcome.MORE:
                self.unfinished.set()
            else:
                await asyncio.sleep(_POLL_SECONDS)
                waited += _POLL_SECONDS
            held = directory.usage.read()

    async def finish(self) -> None:
        """Run a pass to its end."""
        self.unfinished.clear()
        outcome = Outcome.MORE
        while self._directory.evictor is not None and outcome is Outcome.MORE:
            async with self._turn:
                outcome = await fs.in_thread(self._directory.evictor.step)

    def _is_over(self, held: Held) -> bool:
        limits = self._directory.policy
        return (limits.max_bytes != 0 and held.size >= limits.max_bytes) or (
            limits.max_count != 0 and held.count > limits.max_count
        )

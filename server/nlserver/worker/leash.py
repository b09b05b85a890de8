"""What an action can be killed by."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Killed(Exception):
    """Raised at the end of a leash whose action was killed."""


class Leash:
    """Cancels its block when `kill` is called, before or during the block; the block then ends with Killed.

    Cancelling from anywhere else stays cancelling.
    """

    def __init__(self) -> None:
        self._scope = asyncio.timeout(None)
        self._held = False
        self.killed = False

    def kill(self) -> None:
        """End the block; again, or after it, does nothing."""
        if not self.killed and self._held:
            self._scope.reschedule(0)
        self.killed = True

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._held = True
        if self.killed:
            self._scope.reschedule(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held = False
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            raise Killed from None

"""What a load is: clients at work on a cluster, which come to rest when they are asked to, and judge every answer."""

from __future__ import annotations

import asyncio
import collections
from abc import ABC, abstractmethod
from collections.abc import Collection


class Load(ABC):
    """`wrong` gathers what must not be, `errors` counts clear refusals and `done` what ended well, by their kinds."""

    counted: str
    """What `done` and `errors` count, in plural."""
    stride = 1
    """How many steps of its work pass while others take one."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.done: collections.Counter[str] = collections.Counter()
        self.errors: collections.Counter[str] = collections.Counter()
        self.spoils = False
        """Whether actions may fail by themselves, since they cannot write."""
        self._ended = asyncio.Condition()

    @abstractmethod
    def resume(self) -> None:
        """Let work begin."""

    @abstractmethod
    async def pause(self) -> None:
        """Let none begin, and return when what is under way is over: that takes a bounded time."""

    def trouble(self) -> None:
        """A fault is about to strike."""

    def peace(self) -> None:
        """The last fault is over, and the cluster has shown that it serves."""

    def processes(self) -> Collection[int]:
        """Processes of the clients, which live while they are at rest."""
        return ()

    @property
    def over(self) -> int:
        """How far the work has come."""
        return self.done.total() + self.errors.total()

    async def busy(self, steps: int) -> None:
        """Return when the work has come so much further."""
        until = self.over + steps
        async with self._ended:
            await self._ended.wait_for(lambda: self.over >= until)

    async def _came_further(self) -> None:
        async with self._ended:
            self._ended.notify_all()

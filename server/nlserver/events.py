"""What happened lately in this process: the last events of the log, kept in memory for whoever asks."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

_KEPT: Final = 2000
_LONGEST_FACT: Final = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """One event: a number that grows by one, seconds since 1970, and what the log says."""

    number: int
    when: float
    level: int
    event: str
    facts: Mapping[str, str]


_Follower = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class Recent(logging.Handler):
    """Remembers the last 2000 events, and wakes whoever follows. Events may come from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._events: deque[Event] = deque(maxlen=_KEPT)
        self._number = 0
        self._followers: set[_Follower] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Take an event; called under the handler's lock."""
        facts: Mapping[str, Any] = getattr(record, "facts", {})
        self._number += 1
        texts = {name: str(value)[:_LONGEST_FACT] for name, value in facts.items()}
        self._events.append(Event(self._number, record.created, record.levelno, record.getMessage(), texts))
        for loop, changed in self._followers:
            # A loop that was closed has nobody left who follows.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

    def after(self, number: int) -> list[Event]:
        """The remembered events with greater numbers, oldest first."""
        self.acquire()
        try:
            return [event for event in self._events if event.number > number]
        finally:
            self.release()

    async def follow(self, number: int) -> AsyncGenerator[Event, None]:
        """The remembered events with greater numbers, then each as it comes. A slow reader misses the oldest."""
        changed = asyncio.Event()
        follower = (asyncio.get_running_loop(), changed)
        self._change(self._followers.add, follower)
        try:
            while True:
                changed.clear()
                for event in self.after(number):
                    number = event.number
                    yield event
                await changed.wait()
        finally:
            self._change(self._followers.discard, follower)

    def _change(self, change: Callable[[_Follower], None], follower: _Follower) -> None:
        self.acquire()
        try:
            change(follower)
        finally:
            self.release()

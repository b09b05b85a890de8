"""One taker of a stream that several take: the single place where data is pushed instead of pulled."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

_DEPTH: Final = 2


class Branch:
    """Chunks handed from one task to another; the giver waits while the taker has `_DEPTH` chunks to go."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self.complete = False
        """Whether the giver reached the end of its stream."""

    @property
    def closed(self) -> bool:
        """Whether giving more is pointless."""
        return self._ended

    async def offer(self, chunk: bytes, patience_seconds: float | None = None) -> None:
        """Hand over a chunk, waiting for room. A taker that makes none within its patience is cut off."""
        try:
            async with asyncio.timeout(patience_seconds):
                await self._until(lambda: self._ended or len(self._chunks) < _DEPTH)
        except TimeoutError:
            self.cut()
        if not self._ended:
            self._chunks.append(chunk)
            self._changed.set()

    def end(self) -> None:
        """The stream has ended; what was offered can still be taken."""
        self.complete = not self._ended
        self.cut()

    def cut(self) -> None:
        """Nothing more comes, though the stream goes on; what was offered can still be taken."""
        self._ended = True
        self._changed.set()

    def close(self) -> None:
        """The taker has enough: drop what was offered, let the giver go on."""
        self._chunks.clear()
        self.cut()

    def __aiter__(self) -> Branch:
        return self

    async def __anext__(self) -> bytes:
        await self._until(lambda: self._ended or bool(self._chunks))
        if not self._chunks:
            raise StopAsyncIteration
        self._changed.set()
        return self._chunks.popleft()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    async def _until(self, condition: Callable[[], bool]) -> None:
        # One giver and one taker never wait at the same time, so one event serves both.
        while not condition():
            self._changed.clear()
            await self._changed.wait()

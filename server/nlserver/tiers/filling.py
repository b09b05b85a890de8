"""Values on their way from a slow tier into a fast one: each travels once, however many ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from nlserver import fs, log
from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest
from nlserver.store import Key, Store
from nlserver.streams import CHUNK_BYTES, Chunks, closing
from nlserver.tiers.branch import Branch

_PATIENCE_SECONDS: Final = 5.0


class Fill:
    """One value on its way. It goes on while anybody wants it, and to its end once a reader was served by it."""

    def __init__(self, fast: Store, slow: Store, key: Key, live: Branch | None, patience_seconds: float) -> None:
        self.failure: Error | None = None
        """Why the value did not reach the fast tier."""
        self.is_slows_failure = False
        """Whether the slow tier is to blame, so that asking it directly would not help."""
        self._fast = fast
        self._slow = slow
        self._key = key
        self._live = live
        self._patience_seconds = patience_seconds
        self._kept = False
        self._wanted = 0
        self._moved_at = asyncio.get_running_loop().time()
        self.task = asyncio.create_task(self._run(), name=f"fill {key}")

    @asynccontextmanager
    async def wanted(self) -> AsyncIterator[None]:
        """Somebody waits for it in this block; when the last one is cancelled or gives up, the fill is ended."""
        self._wanted += 1
        try:
            yield
        except BaseException:
            if self._wanted == 1:
                self.task.cancel()
                await fs.settled(self.task)
            raise
        finally:
            self._wanted -= 1

    async def ended(self, patience_seconds: float | None = None) -> bool:
        """Wait for the end; False when it took too long."""
        done, _ = await asyncio.wait({self.task}, timeout=patience_seconds)
        return bool(done)

    async def ended_or_stalled(self, patience_seconds: float) -> bool:
        """Wait for the end as long as bytes move; False when none did for so long."""
        while not await self.ended(patience_seconds):
            if asyncio.get_running_loop().time() - self._moved_at >= patience_seconds:
                return False
        return True

    @property
    def succeeded(self) -> bool:
        """Whether the value is in the fast tier now, unless that evicted it."""
        return self._kept

    async def _run(self) -> None:
        try:
            if isinstance(self._key, Digest) and self._key.size_bytes <= CHUNK_BYTES:
                await self._bring_whole()
            else:
                async with closing(self._slow.read(self._key)) as chunks, closing(self._tapped(chunks)) as tapped:
                    await self._fast.write(self._key, tapped)
            self._kept = True
        except Error as failure:
            self.failure = failure
        except Exception as failure:
            log.error("Unexpected failure of a fill", cause=failure, key=self._key)
            self.failure = Error(Code.INTERNAL, f"{self._key} could not be brought into the fast tier")
        finally:
            if self._live is not None:
                self._live.cut()

    async def _bring_whole(self) -> None:
        try:
            data = await self._slow.get(self._key)
        except Error:
            self.is_slows_failure = True
            raise
        if self._live is not None:
            if data:
                await self._live.offer(data)
            self._live.end()
        await self._fast.put(self._key, data)

    async def _tapped(self, chunks: Chunks) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in chunks:
                self._moved_at = asyncio.get_running_loop().time()
                if self._live is not None:
                    await self._live.offer(chunk, self._patience_seconds)
                yield chunk
        except Error:
            self.is_slows_failure = True
            raise
        if self._live is not None:
            self._live.end()


class Filling:
    """All values that are on their way between two tiers."""

    def __init__(self, fast: Store, slow: Store, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """`patience_seconds`: a reader that takes nothing for so long is cut off, so that it holds up nobody."""
        self._fast = fast
        self._slow = slow
        self._patience_seconds = patience_seconds
        self._running: dict[Key, Fill] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def running(self, key: Key) -> Fill | None:
        """The fill of this value that is under way."""
        fill = self._running.get(key)
        return None if fill is None or fill.task.done() or fill.task.cancelling() else fill

    def start(self, key: Key, live: Branch | None = None) -> Fill:
        """Begin to bring a value over; `live` is handed its chunks as they come. Others find it by `running`."""
        fill = self._running[key] = Fill(self._fast, self._slow, key, live, self._patience_seconds)
        self._tasks.add(fill.task)
        fill.task.add_done_callback(lambda task: self._forget(key, fill))
        return fill

    def supersede(self, key: Key) -> None:
        """Let nobody follow the fill of this value that is under way: the next who asks begins anew."""
        self._running.pop(key, None)

    async def close(self) -> None:
        """End all that is under way."""
        for task in list(self._tasks):
            task.cancel()
        for task in list(self._tasks):
            await fs.settled(task)

    def _forget(self, key: Key, fill: Fill) -> None:
        self._tasks.discard(fill.task)
        if self._running.get(key) is fill:
            del self._running[key]

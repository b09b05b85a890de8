"""One upload into two tiers, where the slow one decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress

from nlserver import fs, log
from nlserver.errors import Code, Error
from nlserver.store import Key, Store
from nlserver.streams import Chunks, closing
from nlserver.tiers.branch import Branch


async def tolerated(keeping: Awaitable[None], fast: Store, key: Key) -> None:
    """Wait until the fast tier keeps a value that the slow one has. That it cannot is no failure: readers find it.

    An older value under this key must not be found any more, though.
    """
    try:
        await keeping
    except Error as failure:
        log.warn("The fast tier did not keep a value", key=key, reason=failure)
        with suppress(Error):
            await fast.remove(key)


async def write_both(fast: Store, slow: Store, key: Key, chunks: Chunks) -> None:
    """Write a value to both tiers as it comes.

    The fast tier keeps it only once the slow one has, so that a failure leaves nothing in either.
    """
    to_slow, to_fast = Branch(), Branch()
    in_slow = asyncio.create_task(slow.write(key, to_slow))
    in_fast = asyncio.create_task(_write_after(fast, key, to_fast, in_slow))
    in_slow.add_done_callback(lambda _: to_slow.close())
    in_fast.add_done_callback(lambda _: to_fast.close())
    try:
        await _feed(chunks, to_slow, to_fast, in_slow)
        await in_slow
        await tolerated(in_fast, fast, key)
    finally:
        for task in (in_slow, in_fast):
            task.cancel()
        for task in (in_slow, in_fast):
            await fs.settled(task)


async def _feed(chunks: Chunks, to_slow: Branch, to_fast: Branch, in_slow: asyncio.Task[None]) -> None:
    async for chunk in chunks:
        await to_slow.offer(chunk)
        await to_fast.offer(chunk)
        if to_slow.closed and (to_fast.closed or _failed(in_slow)):
            return
    to_slow.end()
    to_fast.end()


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


async def _write_after(store: Store, key: Key, chunks: Branch, before: asyncio.Task[None]) -> None:
    async with closing(_held_back(chunks, before)) as held:
        await store.write(key, held)


async def _held_back(chunks: Branch, before: asyncio.Task[None]) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        yield chunk
    await asyncio.wait({before})
    if _failed(before) or not chunks.complete:
        raise Error(Code.ABORTED, "the slow tier did not keep the value")

"""Bytes out of an open file: at once where they are in memory, else by threads that read one chunk ahead."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator

from nlserver import fs
from nlserver.errors import Code, Error
from nlserver.streams import OFF_LOOP_BYTES


class Reader:
    """How this store reads."""

    def __init__(self, chunk_bytes: int) -> None:
        self._chunk_bytes = chunk_bytes
        self._flags = getattr(os, "RWF_NOWAIT", None)

    async def pieces(self, fd: int, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Bytes [start, end) of a file. The descriptor may be closed once this generator has ended or was closed."""
        if start >= end:
            return
        if end - start <= OFF_LOOP_BYTES and (data := self._now(fd, start, end - start)):
            yield data
            return
        ahead = self._begin(fd, start, end)
        try:
            while ahead is not None:
                with fs.failing("reading a value"):
                    data = await ahead
                if not data:
                    raise Error(Code.DATA_LOSS, "a value's file became shorter while it was read")
                start += len(data)
                ahead = self._begin(fd, start, end)
                yield data
        finally:
            if ahead is not None:
                ahead.cancel()
                await fs.settled(ahead)

    def _begin(self, fd: int, start: int, end: int) -> asyncio.Task[bytes] | None:
        if start >= end:
            return None
        return asyncio.create_task(fs.in_thread(os.pread, fd, min(self._chunk_bytes, end - start), start))

    def at_once(self, fd: int, size: int) -> bytes | None:
        """The whole of a small file of this size if it is in memory; else None."""
        if not size:
            return b""
        return self._now(fd, 0, size) if size <= OFF_LOOP_BYTES else None

    def _now(self, fd: int, start: int, size: int) -> bytes | None:
        """All these bytes if they are in the page cache; None when a disk would have to be waited for."""
        if self._flags is None:
            return None
        data = bytearray(size)
        try:
            got = os.preadv(fd, [data], start, self._flags)
        except BlockingIOError:
            return None
        except OSError:
            # Some file systems do not know the flag, and need none where memory is all they have. A real failure comes
            # again in the thread.
            self._flags = 0 if self._flags and fs.in_memory(fd) else None
            return None
        return bytes(data) if got == size else None

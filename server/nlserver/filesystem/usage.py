"""How much a store holds, as one sum that all processes sharing its directory keep in a small file.

The sum is exact while all goes well; a process that is killed between moving a file and counting it leaves it wrong
by that file, until the next scan of the directory sets it right.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nlserver.eviction import Held

_FORMAT: Final = struct.Struct("<4sqq")
_MAGIC: Final = b"nlu1"


class Usage:
    """The shared sum. All methods block for microseconds and may be called from any thread."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def read(self) -> Held | None:
        """The sum, or None when nobody has counted yet."""
        data = os.pread(self._fd, _FORMAT.size, 0)
        if len(data) != _FORMAT.size:
            return None
        magic, count, size = _FORMAT.unpack(data)
        return Held(count, size) if magic == _MAGIC else None

    def add(self, count: int, size: int) -> Held | None:
        """Change the sum by what came or went; the new sum, or None when nobody has counted yet."""
        with self._locked():
            held = self.read()
            return held and self._write(Held(max(0, held.count + count), max(0, held.size + size)))

    def counted(self, found: Held, before: Held | None) -> Held:
        """Set the sum to what a scan found, plus what was added since `before` was read as the scan began.

        What came during the scan may be counted twice, never overlooked.
        """
        with self._locked():
            now = self.read()
            if now is None or before is None:
                return self._write(found)
            return self._write(
                Held(found.count + max(0, now.count - before.count), found.size + max(0, now.size - before.size))
            )

    def reopen(self) -> None:
        """Use the file that stands under the path now: somebody may have removed the directory."""
        fresh = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with self._threads:
            os.dup2(fresh, self._fd, inheritable=False)
        os.close(fresh)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, held: Held) -> Held:
        os.pwrite(self._fd, _FORMAT.pack(_MAGIC, held.count, held.size), 0)
        return held

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A flock excludes other processes, but not the threads that share this descriptor.
        with self._threads:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

"""One value on its way into the store: a temporary file that becomes the value's file in one move, or goes.

The bytes are on the disk before the name is: after a crash a file under its final name is whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from nlserver import fs
from nlserver.clock import Clock
from nlserver.filesystem import recency

VALUE_MODE = 0o444
TWIN_MODE = 0o555
# What the process's umask leaves of it: each call that can be spared spares a fight for the interpreter's lock.
_MADE_WITH = VALUE_MODE & ~fs.umask()


class Incoming:
    """A temporary file. All methods block; calls follow one another, and `discard` comes last in every case."""

    def __init__(self, path: str, clock: Clock, *, make_room: Callable[[int], bool], keep_cached: bool = True) -> None:
        self.size = 0
        self.synced = False
        """Whether the bytes are on the disk, and nothing can be added any more."""
        self._path = path
        self._clock = clock
        self._make_room = make_room
        self._keep_cached = keep_cached
        self._fd = -1
        self._named = False

    def append(self, parts: Sequence[bytes], *, ahead: bool = True) -> None:
        """Add bytes, and unless `ahead` is False let the disk begin with them before `sync` waits for it.

        Raises OSError, without space only after trying to make room once.
        """
        fd = self._open()
        fs.write_all(fd, parts, self._make_room)
        if ahead:
            fs.start_writeback(fd)
        self.size += sum(map(len, parts))

    def copy(self, source: int) -> None:
        """Add what an open file holds from its position on. Raises OSError as `append` does."""
        fd = self._open()
        try:
            fs.copy_all(source, fd)
        except OSError as failure:
            if not fs.no_room(failure) or not self._make_room(os.fstat(source).st_size):
                raise
            while fs.copy_some(source, fd):
                pass
        fs.start_writeback(fd)
        self.size = os.fstat(fd).st_size

    def finish(self, mode: int = VALUE_MODE) -> None:
        """Give the file its final times and mode."""
        fd = self._open()
        if mode != _MADE_WITH:
            os.fchmod(fd, mode)
        recency.stamp(fd, self._clock.wall())

    def sync(self) -> None:
        """Return when everything is on the disk, once; the file is closed then."""
        if self.synced:
            return
        os.fdatasync(self._fd)
        if not self._keep_cached:
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        self._close()
        self.synced = True

    def replace(self, final: str) -> int | None:
        """Move the synced file under its final name, and give the size of what stood there, or None."""
        try:
            before = os.lstat(final).st_size
        except FileNotFoundError:
            before = None
        os.rename(self._path, final)
        self._named = False
        return before

    def settle(self, final: str) -> bool:
        """Give the synced file its final name unless that name exists already; whether it was given."""
        try:
            os.link(self._path, final)
        except FileExistsError:
            return False
        return True

    def discard(self) -> None:
        """Close, and remove the temporary name if it is still there."""
        self._close()
        if self._named:
            fs.unlink(self._path)
            self._named = False

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _open(self) -> int:
        if self._fd >= 0:
            return self._fd
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._fd = os.open(self._path, flags, VALUE_MODE)
        except FileNotFoundError:
            # Somebody cleared `temp_path` under the running store.
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self._fd = os.open(self._path, flags, VALUE_MODE)
        self._named = True
        return self._fd

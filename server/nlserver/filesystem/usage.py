"""How much a store holds, as one sum that all processes sharing its directory keep in a small file.

The sum is exact while all goes well; a process that is killed between moving a file and counting it leaves it wrong
by that file, until the next scan of the directory sets it right.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from nlserver.eviction import Held

_FORMAT: Final = struct.Struct("<4sqqqq")
_COUNTED: Final = b"nlu2"
_UNCOUNTED: Final = b"nlu0"


class State(NamedTuple):
    """What the file says. `arrived` only grows: it is all that ever came since the file was made."""

    is_counted: bool
    held: Held
    arrived: Held


_NOTHING: Final = State(False, Held(0, 0), Held(0, 0))


class Usage:
    """The shared sum. All methods block for microseconds and may be called from any thread."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def read(self) -> Held | None:
        """The sum, or None when nobody has counted yet."""
        state = self.state()
        return state.held if state.is_counted else None

    def state(self) -> State:
        """All that the file says."""
        data = os.pread(self._fd, _FORMAT.size, 0)
        if len(data) != _FORMAT.size:
            return _NOTHING
        magic, count, size, came_count, came_size = _FORMAT.unpack(data)
        if magic not in (_COUNTED, _UNCOUNTED):
            return _NOTHING
        return State(magic == _COUNTED, Held(count, size), Held(came_count, came_size))

    def add(self, count: int, size: int) -> None:
        """Change the sum by what came or went."""
        with self._locked():
            was, held, arrived = self.state()
            self._write(
                State(
                    was,
                    Held(max(0, held.count + count), max(0, held.size + size)),
                    Held(arrived.count + max(0, count), arrived.size + max(0, size)),
                )
            )

    @contextmanager
    def leaving(self, size: int, values: int = 1) -> Iterator[Callable[[], None]]:
        """Around the removal of a file: it is counted no more, unless the block ends without saying that it went.

        It is counted out before it goes, because a scan that misses it must not find it counted out once more.
        """
        went = False

        def leaves() -> None:
            nonlocal went
            went = True

        self.add(-values, -size)
        try:
            yield leaves
        finally:
            if not went:
                self.add(values, size)

    def counted(self, found: Held, begun: State) -> bool:
        """Set the sum to what a scan found, plus what came since it began; whether nothing came or went meanwhile.

        What came or went during the scan may be counted although it is not there or is counted already; nothing is
        overlooked.
        """
        with self._locked():
            now = self.state()
            came = Held(now.arrived.count - begun.arrived.count, now.arrived.size - begun.arrived.size)
            self._write(State(True, Held(found.count + came.count, found.size + came.size), now.arrived))
            return now.held == begun.held and came == Held(0, 0)

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

    def _write(self, state: State) -> None:
        magic = _COUNTED if state.is_counted else _UNCOUNTED
        os.pwrite(self._fd, _FORMAT.pack(magic, *_pair(state.held), *_pair(state.arrived)), 0)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A flock excludes other processes, but not the threads that share this descriptor.
        with self._threads:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)


def _pair(held: Held) -> tuple[int, int]:
    return held.count, held.size

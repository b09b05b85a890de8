"""Files that are no values yet: each store of each process has a room of its own below `temp_path`.

A room is a directory and a lock file of the same name; its owner holds the flock as long as it lives, whatever
process-id namespace it runs in, so anybody can tell a dead owner's room and clear it away.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import uuid
from typing import Final

from nlserver import fs

_LOCK: Final = re.compile(r"([0-9a-f]{32})\.owner")
_ROOM: Final = re.compile(r"[0-9a-f]{32}")


class TempRoom:
    """Fresh names for temporary files, until `close` removes them all."""

    def __init__(self, parent: str) -> None:
        self._parent = parent
        self._numbers = itertools.count()
        os.makedirs(parent, exist_ok=True)
        while (lock := _locked_file(path := f"{parent}/{uuid.uuid4().hex}")) is None:
            pass
        self.path = path
        self._lock = lock
        os.mkdir(self.path)

    def fresh(self) -> str:
        """The path of a file that does not exist."""
        return f"{self.path}/{next(self._numbers)}"

    def restore(self) -> None:
        """Make the directory again where somebody removed it."""
        os.makedirs(self.path, exist_ok=True)

    def close(self) -> None:
        """Remove the room; a second time does nothing. Blocking."""
        if self._lock < 0:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        fs.unlink(f"{self.path}.owner")
        os.close(self._lock)
        self._lock = -1


def clear_dead_rooms(parent: str) -> int:
    """Remove the rooms whose owner is gone, and say how many. Other names are left alone. Blocking."""
    names = os.listdir(parent)
    cleared = sum(_clear(parent, match[1]) for name in names if (match := _LOCK.fullmatch(name)))
    for name in names:
        # The lock file comes first and goes last, so that a room without one has no owner.
        if _ROOM.fullmatch(name) and not os.path.exists(f"{parent}/{name}.owner"):
            shutil.rmtree(f"{parent}/{name}", ignore_errors=True)
            cleared += 1
    return cleared


def _locked_file(path: str) -> int | None:
    fd = os.open(f"{path}.owner", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    # Between creating and locking somebody may have taken it for a dead owner's and removed it.
    if fs.try_lock(fd) and os.fstat(fd).st_nlink:
        return fd
    os.close(fd)
    return None


def _clear(parent: str, room: str) -> bool:
    lock = f"{parent}/{room}.owner"
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return False
    try:
        if not fs.try_lock(fd):
            return False
        shutil.rmtree(f"{parent}/{room}", ignore_errors=True)
        return fs.unlink(lock)
    finally:
        os.close(fd)

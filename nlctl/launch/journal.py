"""A part's log file: everything it writes goes there, and the file makes room for a new one when it grows.

The part itself moves on to the new file, so no line is lost or cut, which copying and truncating from outside could
not promise.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

LARGEST: Final = 32 << 20


def redirect(path: Path) -> None:
    """Send this process's standard output and error to the end of this file, and give it no input."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    _open(path)


def rotate(path: Path, largest: int = LARGEST) -> None:
    """Start a new file when this one is too large; the old one becomes `NAME.log.1`. Cheap when it is not.

    The processes of one part write to one file: the first that finds it too large moves it away, the others follow.
    """
    ours = os.fstat(2)
    if ours.st_size < largest and _is_at(ours, path):
        return
    # A descriptor of its own: forked processes share the one behind 2, and a lock on it would let all of them in.
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_at(ours, path):
            os.replace(path, previous(path))
        _open(path)


def previous(path: Path) -> Path:
    """Where the lines before those in this file are."""
    return path.with_name(path.name + ".1")


def _is_at(file: os.stat_result, path: Path) -> bool:
    try:
        return os.path.samestat(file, os.stat(path))
    except FileNotFoundError:
        return False


def _open(path: Path) -> None:
    fresh = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.dup2(fresh, 1)
    os.dup2(fresh, 2)
    os.close(fresh)

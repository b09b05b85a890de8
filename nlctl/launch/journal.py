"""A part's log file: everything it writes goes there, and the file makes room for a new one when it grows.

The part itself moves on to the new file, so no line is lost or cut, which copying and truncating from outside could
not promise.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

LARGEST: Final = 32 << 20
_LOOK_SECONDS: Final = 5.0
_STACK_BYTES: Final = 128 << 10


def redirect(path: Path) -> None:
    """Send this process's standard output and error to the end of this file, and give it no input."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    _open(path)


def keep_small(path: Path, largest: int = LARGEST) -> None:
    """Look after the file's size from a thread, as long as this process lives. Not for processes that fork."""
    before = threading.stack_size(_STACK_BYTES)
    threading.Thread(target=_keep_small, args=(path, largest), name="journal", daemon=True).start()
    threading.stack_size(before)


def rotate(path: Path, largest: int = LARGEST) -> bool:
    """Start a new file when this one is too large; the old one becomes `NAME.log.1`. Answers whether it did."""
    if os.fstat(2).st_size < largest:
        return False
    os.replace(path, previous(path))
    _open(path)
    return True


def previous(path: Path) -> Path:
    """Where the lines before those in this file are."""
    return path.with_name(path.name + ".1")


def _open(path: Path) -> None:
    fresh = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.dup2(fresh, 1)
    os.dup2(fresh, 2)
    os.close(fresh)


def _keep_small(path: Path, largest: int) -> None:
    pause = threading.Event()
    while not pause.wait(_LOOK_SECONDS):
        with suppress(OSError):
            rotate(path, largest)

"""When values were last used: the access time of their files, written by us and in batches.

The kernel's own access times depend on mount options, so that reads go around them. The modification time is the
same for every file: build tools that compare the times of their inputs must see no order in them.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from typing import Final

GRAIN_SECONDS: Final = 10.0
"""A file used more recently than this is not marked again: recency is exact to this grain, or finer where values
expire soon."""
# 2000-01-01; archives cannot hold times before 1980.
_MODIFIED_NS: Final = 946_684_800 * 10**9


def stamp(file: int | str, used: float) -> None:
    """Set the times of a file, by descriptor or path."""
    os.utime(file, ns=(int(used * 1e9), _MODIFIED_NS))


class Recency:
    """Uses of files that their timestamps do not show yet. May be called from any thread."""

    def __init__(self, max_seconds: int = 0) -> None:
        self._grain = min(GRAIN_SECONDS, max_seconds / 10) if max_seconds else GRAIN_SECONDS
        self._lock = threading.Lock()
        self._pending: dict[str, float] = {}

    def use(self, path: str, used: float, now: float) -> bool:
        """Note that a file is used now; `used` is its access time. Whether `flush` has work for it."""
        if used > now - self._grain:
            return False
        self.use_all([path], now)
        return True

    def fresh_since(self, now: float) -> float:
        """Files that were used after this instant need not be marked."""
        return now - self._grain

    def use_all(self, paths: Iterable[str], now: float) -> None:
        """Note that these files, which are not fresh, are used now."""
        with self._lock:
            self._pending.update(dict.fromkeys(paths, now))

    def flush(self) -> None:
        """Write the noted uses to the files. Blocking, 3-5 us a file."""
        with self._lock:
            pending, self._pending = self._pending, {}
        for path, used in pending.items():
            # Gone is gone; a file of another user keeps its time, and recency is then as good as its owner's marks.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                stamp(path, used)

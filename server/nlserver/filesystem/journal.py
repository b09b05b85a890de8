"""What a filesystem store evicted, when and by which limit: JSON lines beside the store, for whoever asks why.

Two files of at most `ROTATE_BYTES` each; only the process that holds the eviction lock writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from nlserver import fs
from nlserver.eviction import Eviction, Limit

ROTATE_BYTES: Final = 8 << 20


class Journal:
    """Where evictions are noted before they happen, so that even a kill leaves none untold. Blocking.

    What cannot be written, such as on a full disk, is kept for the next note, up to `MOST_WAITING` of it.
    """

    MOST_WAITING: Final = 10_000

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._waiting: list[str] = []
        self.failure: OSError | None = None
        """Why the last note is not written yet."""

    def note(self, eviction: Eviction) -> None:
        """Add a line. Never raises: see `failure`."""
        if len(self._waiting) < self.MOST_WAITING:
            self._waiting.append(_line(eviction))
        self.flush()

    def flush(self) -> None:
        """Write what could not be written before."""
        if not self._waiting:
            return
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            _append(self._fd, "".join(self._waiting).encode(errors="surrogateescape"))
        except OSError as failure:
            self.failure = failure
        else:
            self.failure = None
            self._waiting.clear()

    def close(self) -> None:
        """End a series of notes, and start a new file when the present one is full. Raises OSError."""
        if self._fd < 0:
            return
        size = os.fstat(self._fd).st_size
        os.close(self._fd)
        self._fd = -1
        if size >= ROTATE_BYTES:
            os.replace(self._path, f"{self._path}.1")


def _append(fd: int, lines: bytes) -> None:
    """Write whole lines or none. Raises OSError."""
    before = os.fstat(fd).st_size
    # A process that was killed while it wrote left a line without its end.
    torn = before > 0 and os.pread(fd, 1, before - 1) != b"\n"
    try:
        fs.write_all(fd, [b"\n" if torn else b"", lines])
    except OSError:
        os.ftruncate(fd, before)
        raise


def read(path: str, prefix: str = "") -> Iterator[Eviction]:
    """What is recorded of keys that begin so, oldest first; a torn or foreign line is passed over. Blocking."""
    # As it stands in the line: parsing all lines for the sake of one takes ten times as long.
    begins = f'"key": {json.dumps(prefix)[:-1]}'
    for file in (f"{path}.1", path):
        with suppress(FileNotFoundError), open(file, encoding="utf-8", errors="surrogateescape") as journal:
            yield from filter(None, map(_parsed, (line for line in journal if begins in line)))


def _line(eviction: Eviction) -> str:
    when = datetime.fromtimestamp(eviction.when, UTC).isoformat(timespec="milliseconds")
    facts = {
        "when": when,
        "key": eviction.key,
        "size": eviction.size,
        "limit": eviction.limit,
        "age_seconds": round(eviction.age, 3),
    }
    return json.dumps(facts) + "\n"


def _parsed(line: str) -> Eviction | None:
    try:
        facts = json.loads(line)
        when = datetime.fromisoformat(facts["when"]).timestamp()
        return Eviction(when, str(facts["key"]), int(facts["size"]), Limit(facts["limit"]), float(facts["age_seconds"]))
    except (ValueError, KeyError, TypeError):
        return None

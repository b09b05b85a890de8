"""Log files read together: history, then what is added, across the moves to a new file."""

from __future__ import annotations

import heapq
import os
import re
import select
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from nlctl.launch.journal import previous

_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_JSON_STAMP: Final = re.compile(r'\{"time": "(\d{4}-[^"]+Z)"')
_LOOK_MS: Final = 100


@dataclass(frozen=True)
class Entry:
    """One event of one part; the lines after the first (a traceback) carry no time of their own.

    `stamp` is RFC 3339 with milliseconds, or the part's latest one, or "" before any.
    """

    part: str
    stamp: str
    lines: tuple[str, ...]


def entries(part: str, lines: Iterable[str], before: str = "") -> Iterator[Entry]:
    """These lines of one part as entries, in order."""
    stamp = before
    held: list[str] = []
    for line in lines:
        match = _STAMP.match(line) or _JSON_STAMP.match(line)
        if match is not None and held:
            yield Entry(part, stamp, tuple(held))
            held = []
        if match is not None:
            stamp = match[1] if match.re is _JSON_STAMP else match[0]
        held.append(line)
    if held:
        yield Entry(part, stamp, tuple(held))


def merged(parts: Iterable[Iterable[Entry]]) -> Iterator[Entry]:
    """The entries of several parts, each in its own order, by time."""
    return heapq.merge(*parts, key=lambda entry: entry.stamp)


class _File:
    """One part's log: whole lines since the last look."""

    def __init__(self, part: str, path: Path) -> None:
        self.part = part
        self.stamp = ""
        self._path = path
        self._file: BinaryIO | None = None
        self._unfinished = b""

    def history(self) -> list[Entry]:
        """Everything that is there, the file before this one included."""
        old: list[str] = []
        with suppress(FileNotFoundError):
            old = previous(self._path).read_text(encoding="utf-8", errors="replace").splitlines()
        return self._entries([*old, *self._lines()])

    def more(self) -> list[Entry]:
        """What came since."""
        lines = self._lines()
        if self._moved():
            lines += self._lines()
        return self._entries(lines)

    def _entries(self, lines: list[str]) -> list[Entry]:
        made = list(entries(self.part, lines, self.stamp))
        if made:
            self.stamp = made[-1].stamp
        return made

    def _lines(self) -> list[str]:
        if self._file is None:
            try:
                self._file = open(self._path, "rb")  # noqa: SIM115 - it stays open while it is followed
            except FileNotFoundError:
                return []
        *whole, self._unfinished = (self._unfinished + self._file.read()).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def _moved(self) -> bool:
        """Whether a new file stands under the name; then the next look reads that one from its start."""
        if self._file is None:
            return False
        with suppress(FileNotFoundError):
            now, ours = os.stat(self._path), os.fstat(self._file.fileno())
            if (now.st_ino, now.st_dev) != (ours.st_ino, ours.st_dev):
                self._file.close()
                self._file = None
                return True
        return False


class Follower:
    """The logs of several parts."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._files = [_File(part, path) for part, path in paths.items()]

    def history(self) -> list[list[Entry]]:
        """All entries so far, one list a part."""
        return [file.history() for file in self._files]

    def more(self) -> list[list[Entry]]:
        """Entries since the last look, after a short pause."""
        # Files cannot be waited for with poll, and inotify is not in the standard library.
        select.select([], [], [], _LOOK_MS / 1000)
        return [file.more() for file in self._files]

"""Log files read together: history, then what is added, across the moves to a new file. No file is held in memory."""

from __future__ import annotations

import heapq
import json
import os
import re
import select
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nlctl.launch.journal import previous

_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_JSON_STAMP: Final = re.compile(r'\{"time": "(\d{4}-[^"]+Z)"')
_LEVEL: Final = re.compile(r"\S+ ([A-Z]+) ")
_LOOK_MS: Final = 100
_OLD_LOOKS: Final = 30
"""Each process of a part moves on to the new file within a second or two, and writes to the old one until then."""
LEVELS: Final = {"trace": 5, "debug": 10, "info": 20, "warn": 30, "error": 40}
_ALSO: Final = {"warning": "warn", "critical": "error"}


@dataclass(frozen=True)
class Entry:
    """One event of one part; the lines after the first (a traceback) carry no time of their own.

    `stamp` is RFC 3339 with milliseconds, or the part's latest one, or "" before any.
    """

    part: str
    stamp: str
    lines: tuple[str, ...]

    @property
    def level(self) -> str | None:
        """One of LEVELS; None for what a part wrote without saying one, which may be the end of it."""
        line = self.lines[0]
        if line.startswith('{"time"'):
            with suppress(ValueError):
                said = str(json.loads(line).get("level", ""))
                return _known(said)
        match = _LEVEL.match(line)
        return _known(match[1].lower()) if match else None


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


def _known(word: str) -> str | None:
    level = _ALSO.get(word, word)
    return level if level in LEVELS else None


class _Tail:
    """An open log file: whole lines since the last look."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - it stays open while it is followed
        self._unfinished = b""

    def lines(self) -> Iterator[str]:
        """What was added; the last line only once it is whole."""
        for piece in self._file:
            self._unfinished += piece
            if piece.endswith(b"\n"):
                line, self._unfinished = self._unfinished[:-1], b""
                yield line.decode(errors="replace")

    def is_at(self, path: Path) -> bool:
        """Whether it still stands under this name; so it does when nothing does."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return True

    def close(self) -> None:
        """Read no more of it."""
        self._file.close()


class _File:
    """One part's log, in the file that it writes now and in the one before."""

    def __init__(self, part: str, path: Path) -> None:
        self.part = part
        self.stamp = ""
        self._path = path
        self._now: _Tail | None = None
        self._before: _Tail | None = None
        self._looks_left = 0

    def history(self) -> Iterator[Entry]:
        """Everything that is there, the file before this one included."""
        yield from self._entries(self._old_lines())
        yield from self._entries(self._new_lines())

    def more(self) -> list[Entry]:
        """What came since."""
        found: list[Entry] = []
        if self._before is not None:
            found += self._entries(self._before.lines())
            self._looks_left -= 1
            if self._looks_left <= 0:
                self._before.close()
                self._before = None
        found += self._entries(self._new_lines())
        if self._now is not None and not self._now.is_at(self._path):
            if self._before is not None:
                self._before.close()
            self._before, self._now, self._looks_left = self._now, None, _OLD_LOOKS
            # What came between the look and the move.
            found += self._entries(self._before.lines())
            found += self._entries(self._new_lines())
        return found

    def _entries(self, lines: Iterable[str]) -> Iterator[Entry]:
        for entry in entries(self.part, lines, self.stamp):
            self.stamp = entry.stamp
            yield entry

    def _old_lines(self) -> Iterator[str]:
        with suppress(FileNotFoundError), open(previous(self._path), "rb") as file:
            for line in file:
                yield line.removesuffix(b"\n").decode(errors="replace")

    def _new_lines(self) -> Iterator[str]:
        if self._now is None:
            try:
                self._now = _Tail(self._path)
            except FileNotFoundError:
                return
        yield from self._now.lines()


class Follower:
    """The logs of several parts."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._files = [_File(part, path) for part, path in paths.items()]

    def history(self) -> list[Iterator[Entry]]:
        """All entries so far, one iterator a part; read them to their ends before asking for more."""
        return [file.history() for file in self._files]

    def more(self) -> list[list[Entry]]:
        """Entries since the last look, after a short pause."""
        # Files cannot be waited for with poll, and inotify is not in the standard library.
        select.select([], [], [], _LOOK_MS / 1000)
        return [file.more() for file in self._files]

"""What containers say, kept in files like those that processes write, so that every reader of logs knows one form."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from nlctl.containers.states import moment
from nlctl.launch.journal import LARGEST, previous

if TYPE_CHECKING:
    from docker import APIClient

_PATIENCE_SECONDS: Final = 2.0


def mirror(engine: APIClient, container: str, path: Path, seen: Path) -> None:
    """Append what this container said since the last time; `seen` keeps which one that was, and its last moment.

    Several commands may do so at once: one after the other, and nothing twice. One that finds another at it for long
    leaves it to that one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    seen.parent.mkdir(parents=True, exist_ok=True)
    with open(seen, "a+", encoding="utf-8") as book:
        if not _taken(book):
            return
        book.seek(0)
        whose, _, last = book.read().partition(" ")
        after = last if whose == container else ""
        newest = _append(engine, container, path, after)
        if newest != after:
            book.truncate(0)
            book.write(f"{container} {newest}")


def _taken(book: IO[str]) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(book, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)


def _append(engine: APIClient, container: str, path: Path, after: str) -> str:
    newest = after
    if path.exists() and path.stat().st_size > LARGEST:
        os.replace(path, previous(path))
    with open(path, "ab") as file:
        for line in _lines(engine, container, after):
            stamp, _, text = line.partition(b" ")
            # The engine is asked by whole seconds.
            if (when := stamp.decode(errors="replace")) > after:
                newest = when
                file.write(text + b"\n")
    return newest


def _lines(engine: APIClient, container: str, after: str) -> Iterator[bytes]:
    since = int(moment(after)) if after else None
    unfinished = b""
    said = engine.logs(container, stdout=True, stderr=True, stream=True, follow=False, timestamps=True, since=since)
    for piece in said:
        *lines, unfinished = (unfinished + piece).split(b"\n")
        yield from lines
    if unfinished:
        yield unfinished

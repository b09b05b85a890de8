"""Who is in the store: one scan of its directories, which costs 3-5 us a file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from nlserver.eviction import Held
from nlserver.filesystem.layout import DIGESTS, STRINGS, Layout, is_value, key_text
from nlserver.store import Entry

MOST_CANDIDATES: Final = 50_000
"""So many of the least recent files are remembered from a scan; when they are used up, the next scan is due."""


def rounded(size: int, block: int) -> int:
    """What a file of this size counts for: whole blocks."""
    return -(-size // block) * block


class Candidate(NamedTuple):
    """A file that may go: when it was used (nanoseconds since 1970) and its name relative to `content_path`."""

    used_ns: int
    name: str


@dataclass(frozen=True)
class Census:
    """What a scan found."""

    held: Held
    oldest: list[Candidate]
    """Candidates, the least recent first."""
    foreign: list[str]
    """Names of files that are no values; nobody counts or evicts them."""
    orphans: list[str]
    """Paths of executable twins whose blob is gone."""


def census(layout: Layout, block: int) -> Census:
    """Scan the store. Blocking. Files that come or go meanwhile may or may not be in it."""
    twins = {name: status.st_size for name, status in _files(layout.twins)}
    count = size = 0
    foreign: list[str] = []
    least: list[Candidate] = []
    # Whoever was used later than so many others is no candidate, which spares most files of a large store the rest.
    latest = math.inf
    for part, directory in zip((DIGESTS, STRINGS), layout.directories, strict=True):
        for name, status in _files(directory):
            if not is_value(part, name):
                foreign.append(f"{part}/{name}")
                continue
            count += 1
            size += rounded(status.st_size, block)
            if twins and part == DIGESTS:
                size += rounded(twins.pop(name, 0), block)
            if (used := status.st_atime_ns) < latest:
                least.append(Candidate(used, f"{part}/{name}"))
                if len(least) == 2 * MOST_CANDIDATES:
                    least.sort()
                    del least[MOST_CANDIDATES:]
                    latest = least[-1].used_ns
    least.sort()
    del least[MOST_CANDIDATES:]
    return Census(Held(count, size), least, foreign, [f"{layout.twins}/{name}" for name in twins])


def listed(layout: Layout, prefix: str) -> Iterator[Entry]:
    """The values whose keys begin so. Blocking, 3-5 us a file."""
    for part, directory in zip((DIGESTS, STRINGS), layout.directories, strict=True):
        for name, status in _files(directory):
            if is_value(part, name) and (key := key_text(f"{part}/{name}")).startswith(prefix):
                yield Entry(key, status.st_size, status.st_atime)


def _files(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield entry.name, status

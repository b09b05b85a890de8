"""What the cluster has acknowledged, and what it may have forgotten since: only what a journal says was evicted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nlserver.filesystem import journal
from nlserver.reapi.digest import Digest

_MOST_RESULTS: Final = 200


@dataclass
class Promises:
    """Blobs by digest with what they were acknowledged for, and recorded results by action."""

    blobs: dict[Digest, str] = field(default_factory=dict)
    results: dict[Digest, bytes] = field(default_factory=dict)

    def blob(self, digest: Digest, by: str) -> None:
        """The server said that it has this."""
        if digest.size_bytes:
            self.blobs.pop(digest, None)
            self.blobs[digest] = by

    def result(self, action: Digest, value: bytes) -> None:
        """The server said that it keeps this result. Of very many the oldest are no longer watched."""
        self.results[action] = value
        while len(self.results) > _MOST_RESULTS:
            self.results.pop(next(iter(self.results)))

    def settle(self, missing: Collection[Digest], evicted: Collection[str]) -> list[Digest]:
        """Forget what is missing by an eviction of which the journal tells; the others were lost."""
        lost = [digest for digest in missing if digest in self.blobs and str(digest) not in evicted]
        for digest in missing:
            self.blobs.pop(digest, None)
        return lost

    def settle_results(self, missing: Collection[Digest], evicted: Collection[str]) -> list[Digest]:
        """The same of recorded results."""
        lost = [action for action in missing if action in self.results and str(action) not in evicted]
        for action in missing:
            self.results.pop(action, None)
        return lost


class Evictions:
    """The journals of some stores, read again and again."""

    def __init__(self, contents: Collection[Path]) -> None:
        self._journals = [f"{content}.journal" for content in contents]
        self._seen: set[journal.Eviction] = set()
        self._before: set[str] = set()
        self.count = 0

    def recent(self) -> set[str]:
        """The keys that were evicted since the reading before the last one.

        What is asked for just before a reading may be evicted just after it was answered.
        """
        now = {eviction for path in self._journals for eviction in journal.read(path)}
        came = {eviction.key for eviction in now - self._seen}
        self.count += len(now - self._seen)
        recent = came | self._before
        self._seen, self._before = now, came
        return recent

"""Many values made durable together.

A disk takes about as long to make one small file durable as to do it for fifty, so that values which come while a
group is on its way form the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

from nlserver import fs
from nlserver.eviction import Held
from nlserver.filesystem.directory import Directory
from nlserver.filesystem.incoming import Incoming
from nlserver.store import Key

_MOST_VALUES: Final = 64
_MOST_BYTES: Final = 8 << 20
_GROUPS_AT_ONCE: Final = 2


class Commit:
    """A value whose last bytes have come: they are written, synced and given their name with those of others."""

    def __init__(self, key: Key, parts: Sequence[bytes], incoming: Incoming) -> None:
        self.key = key
        self.incoming = incoming
        self.size = sum(map(len, parts))
        self.kept = False
        self.failure: Exception | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parts = parts

    def attempt(self, step: Callable[[Commit], None]) -> None:
        """Take a step, unless one before it failed."""
        if self.failure is None:
            try:
                step(self)
            except Exception as failure:
                self.failure = failure

    def write(self, *, alone: bool) -> None:
        """Write the last bytes, where the file is not synced yet; others' in the group gain by an early start."""
        if not self.incoming.synced:
            self.incoming.append(self._parts, ahead=not alone)
            self.incoming.finish()

    def end(self) -> None:
        """Tell who waits."""
        if self.failure is not None:
            self.ended.set_exception(self.failure)
        elif self.kept:
            self.ended.set_result(None)
        else:
            self.ended.cancel()


class Commits:
    """The values of one store that wait for their turn to become durable."""

    def __init__(self, directory: Directory, syncs: asyncio.Semaphore) -> None:
        self._directory = directory
        self._syncs = syncs
        self._waiting: deque[Commit] = deque()
        self._runners: set[asyncio.Task[None]] = set()

    async def keep(self, key: Key, parts: Sequence[bytes], incoming: Incoming) -> None:
        """Return when the value is on the disk under its name. Raises OSError; nothing temporary is left then.

        Cancelled in the middle, it waits until the value is either kept or gone.
        """
        commit = Commit(key, parts, incoming)
        self._waiting.append(commit)
        if len(self._runners) < _GROUPS_AT_ONCE:
            self._runners.add(asyncio.create_task(self._run()))
        try:
            await asyncio.shield(commit.ended)
        except asyncio.CancelledError:
            if commit in self._waiting:
                self._waiting.remove(commit)
                await fs.in_thread(incoming.discard)
            else:
                await fs.settled(commit.ended)
            raise

    async def _run(self) -> None:
        try:
            while self._waiting:
                async with self._syncs:
                    group = self._group()
                    try:
                        await fs.in_thread(commit_all, self._directory, group)
                    finally:
                        for commit in group:
                            commit.end()
        finally:
            # In the turn that found nobody waiting: whoever comes in the next one would count on this runner.
            self._runners.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _group(self) -> list[Commit]:
        group: list[Commit] = []
        size = 0
        while self._waiting and len(group) < _MOST_VALUES and size <= _MOST_BYTES:
            group.append(self._waiting.popleft())
            size += group[-1].size
        return group


def commit_all(directory: Directory, group: Sequence[Commit]) -> None:
    """Make a group durable. Blocking. Each value fails for itself, with `failure` set and its temporary file gone."""
    gained: list[Held] = []
    for commit in group:
        commit.attempt(lambda commit: commit.write(alone=len(group) == 1))
    for commit in group:
        commit.attempt(lambda commit: commit.incoming.sync())
    for commit in group:
        commit.attempt(lambda commit: gained.append(directory.place(commit.key, commit.incoming)))
    if directory.usage is not None and gained:
        directory.usage.add(sum(held.count for held in gained), sum(held.size for held in gained))
    _sync_names(directory, group)
    for commit in group:
        commit.incoming.discard()
        commit.kept = commit.failure is None


def _sync_names(directory: Directory, group: Sequence[Commit]) -> None:
    for path in directory.layout.directories:
        there = [c for c in group if c.failure is None and directory.layout.directory(c.key) == path]
        if there:
            try:
                fs.sync_directory(path)
            except OSError as failure:
                for commit in there:
                    commit.failure = failure

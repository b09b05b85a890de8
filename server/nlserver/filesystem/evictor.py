"""Keeps a shared store directory below its limits, one process at a time.

A scan remembers the least recent files; passes take them from there, so that a full store does not scan for every
value that comes. What is remembered stays right without being told anything: a file used since has another access
time, which is looked at again, and whatever came since is younger.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from enum import Enum, auto
from typing import Final

from nlserver import fs, log
from nlserver.clock import Clock
from nlserver.eviction import EvictionPolicy, Held, Limit, Pass
from nlserver.filesystem import journal
from nlserver.filesystem.census import Candidate, census, rounded
from nlserver.filesystem.journal import Eviction
from nlserver.filesystem.layout import DIGESTS, Layout, key_text
from nlserver.filesystem.recency import Recency
from nlserver.filesystem.temp import TempRoom
from nlserver.filesystem.usage import Usage

SLICE: Final = 128
"""Values evicted before others get a turn."""
_MOST_FOR_ROOM: Final = 20_000


class Outcome(Enum):
    """How a slice of a pass ended."""

    DONE = auto()
    """No limit is broken, or nothing is left that could go."""
    MORE = auto()
    """The pass goes on."""
    BUSY = auto()
    """Another process evicts."""


class Evictor:
    """Evicts from one store directory. All methods block and may be called from any thread."""

    def __init__(
        self,
        layout: Layout,
        policy: EvictionPolicy,
        block: int,
        *,
        usage: Usage,
        room: TempRoom,
        recency: Recency,
        clock: Clock,
    ) -> None:
        self._layout = layout
        self._policy = policy
        self._block = block
        self._usage = usage
        self._room = room
        self._recency = recency
        self._clock = clock
        self._threads = threading.Lock()
        self._candidates: deque[Candidate] = deque()
        self._pass: Pass | None = None
        self._reported: set[str] = set()

    def step(self) -> Outcome:
        """One slice of a pass: evict up to SLICE values while the policy says so."""
        return self._locked(0, SLICE)

    def make_room(self, size: int) -> bool:
        """After the disk was full: evict the least recent values worth `size` bytes; whether anything went.

        A store without limits never forgets, not even then.
        """
        if not self._policy.bounded:
            return False
        before = self._usage.read()
        self._locked(max(size, self._block), _MOST_FOR_ROOM)
        after = self._usage.read()
        return before is not None and after is not None and after.size < before.size

    def recount(self) -> None:
        """Scan the directory and set the shared sum right, unless another process evicts and does so."""
        fd = os.open(self._layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            with self._threads:
                if fs.try_lock(fd):
                    self._recency.flush()
                    self._count()
        finally:
            os.close(fd)

    def _count(self) -> Held:
        before = self._usage.read()
        found = census(self._layout, self._block)
        held = self._usage.counted(found.held, before)
        self._candidates = deque(found.oldest)
        self._report(found.foreign)
        for twin in found.orphans:
            self._remove_orphan(twin)
        return held

    def _locked(self, need: int, most: int) -> Outcome:
        fd = os.open(self._layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            with self._threads:
                return self._slice(need, most) if fs.try_lock(fd) else Outcome.BUSY
        finally:
            os.close(fd)

    def _slice(self, need: int, most: int) -> Outcome:
        # What this process has used lately must not look old; others have marked theirs before they answered.
        self._recency.flush()
        now = self._clock.wall()
        eviction = self._pass = self._pass or Pass(self._policy, now)
        gone: list[Eviction] = []
        freed = scans = 0
        held = self._usage.read()
        try:
            while len(gone) < most:
                if held is None or not self._candidates:
                    if scans or (held is not None and not self._concerns(eviction, held, need - freed)):
                        break
                    scans, held = scans + 1, self._count()
                    continue
                candidate = self._candidates[0]
                used = candidate.used_ns / 1e9
                limit = eviction.verdict(used, held) or (Limit.DISK if freed < need else None)
                if limit is None:
                    break
                self._candidates.popleft()
                if (size := self._evict(candidate)) is not None:
                    freed += size
                    gone.append(Eviction(now, key_text(candidate.name), size, limit, now - used))
                held = self._usage.read()
            else:
                return Outcome.MORE
            self._pass = None
            return Outcome.DONE
        finally:
            self._record(gone)

    def _concerns(self, eviction: Pass, held: Held, need: int) -> bool:
        """Whether a scan could find something to evict: ages are unknown without one."""
        if held.count == 0:
            return False
        return need > 0 or self._policy.max_seconds > 0 or eviction.verdict(self._clock.wall(), held) is not None

    def _evict(self, candidate: Candidate) -> int | None:
        """Remove a value unless it is gone or was used since the scan; what it counted for, or None.

        It leaves the directory before the last look at its access time: whoever marks it as used either did so
        before that look, or finds it absent. A reader keeps what it has open.
        """
        path, grave = f"{self._layout.content}/{candidate.name}", self._room.fresh()
        try:
            status = os.lstat(path)
            if status.st_atime_ns != candidate.used_ns:
                return None
            os.rename(path, grave)
        except FileNotFoundError:
            return None
        if os.lstat(grave).st_atime_ns != candidate.used_ns:
            with suppress(FileExistsError):
                os.link(grave, path)
            os.unlink(grave)
            return None
        os.unlink(grave)
        size = rounded(status.st_size, self._block)
        directory, _, last = candidate.name.partition("/")
        if directory == DIGESTS:
            size += without_twin(f"{self._layout.twins}/{last}", self._block)
        self._usage.add(-1, -size)
        return size

    def _remove_orphan(self, twin: str) -> None:
        blob = f"{self._layout.content}/{DIGESTS}/{twin.rpartition('/')[2]}"
        if not os.path.exists(blob):
            fs.unlink(twin)

    def _record(self, gone: list[Eviction]) -> None:
        try:
            journal.append(self._layout.journal, gone)
        except OSError as failure:
            if "journal" not in self._reported:
                self._reported.add("journal")
                log.warn("Evictions cannot be recorded", path=self._layout.journal, reason=failure.strerror)
        if gone:
            log.debug("Evicted", path=self._layout.content, count=len(gone), size=sum(e.size for e in gone))

    def _report(self, foreign: list[str]) -> None:
        fresh = [name for name in foreign if name not in self._reported]
        if fresh and not self._reported.issuperset(foreign):
            log.warn(
                "Files that are no values are left alone",
                path=self._layout.content,
                count=len(fresh),
                examples=", ".join(fresh[:3]),
            )
        self._reported.update(fresh[:10_000])


def without_twin(path: str, block: int) -> int:
    """Remove an executable twin, and say what it counted for: 0 when there was none."""
    try:
        size = rounded(os.lstat(path).st_size, block)
    except FileNotFoundError:
        return 0
    return size if fs.unlink(path) else 0

"""Keeps a shared store directory below its limits, one process at a time.

A look at the directory remembers the least recent files; passes take them from there, so that a full store does not
scan for every value that comes, and they go on while another look is under way. What is remembered stays right
without being told anything: a file used since has another access time, which is looked at again, and whatever came
since is younger.
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
from nlserver.eviction import Eviction, EvictionPolicy, Held, Limit, Pass
from nlserver.filesystem.census import MOST_CANDIDATES, Candidate, census, rounded
from nlserver.filesystem.journal import Journal
from nlserver.filesystem.layout import DIGESTS, Layout, key_text
from nlserver.filesystem.recency import Recency
from nlserver.filesystem.temp import TempRoom
from nlserver.filesystem.usage import Usage

SLICE: Final = 128
"""Values evicted before others get a turn."""
_MOST_FOR_ROOM: Final = 20_000
_FEW: Final = MOST_CANDIDATES // 4
_LARGE_DIRECTORY: Final = 4 << 20
"""Bytes of the directory's own file, some 50 to 100 a name."""
_MOST_LOOKS: Final = 10


class Outcome(Enum):
    """How a slice of a pass ended."""

    DONE = auto()
    """No limit is broken, or nothing is left that could go."""
    MORE = auto()
    """The pass goes on."""
    BUSY = auto()
    """Another process evicts."""
    BLIND = auto()
    """A limit is broken or may be, and nobody knows what could go: `look` first."""


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
        self._more_to_find = False
        self._pass: Pass | None = None
        self._journal = Journal(layout.journal)
        self._reported: set[str] = set()

    def step(self) -> Outcome:
        """One slice of a pass: evict up to SLICE values while the policy says so."""
        return self._locked(0, SLICE)

    @property
    def sees(self) -> bool:
        """Whether it is known what could go."""
        return bool(self._candidates)

    @property
    def runs_short(self) -> bool:
        """Whether it is time to `look`, so that no pass has to wait for it."""
        return self._more_to_find and len(self._candidates) < _FEW

    @property
    def is_large(self) -> bool:
        """Whether a look takes so long that nobody should wait for it."""
        return any(os.stat(path).st_size > _LARGE_DIRECTORY for path in self._layout.directories)

    def look(self) -> None:
        """Find out what could go, and set the shared sum right. Seconds for a million files; steps go on meanwhile.

        What came or went meanwhile may be counted all the same, so that a little more is evicted than need be: a
        small directory is looked at again then.
        """
        self._recency.flush()
        for _ in range(_MOST_LOOKS):
            begun = self._usage.state()
            found = census(self._layout, self._block)
            with self._threads:
                exact = self._usage.counted(found.held, begun)
                self._candidates = deque(found.oldest)
                self._more_to_find = len(found.oldest) == MOST_CANDIDATES
                self._report(found.foreign)
            if exact or self.is_large:
                break
        for twin in found.orphans:
            self._remove_orphan(twin)

    def recount(self) -> None:
        """Look, unless another process does so at the moment."""
        fd = os.open(self._layout.counting, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if fs.try_lock(fd):
                self.look()
        finally:
            os.close(fd)

    def make_room(self, size: int) -> bool:
        """After the disk was full: evict the least recent values worth `size` bytes; whether anything went.

        A store without limits never forgets, not even then.
        """
        if not self._policy.bounded:
            return False
        before = self._usage.read()
        if self._locked(max(size, self._block), _MOST_FOR_ROOM) is Outcome.BLIND:
            self.look()
            self._locked(max(size, self._block), _MOST_FOR_ROOM)
        after = self._usage.read()
        return before is not None and after is not None and after.size < before.size

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
        eviction = self._pass = self._pass or Pass(self._policy)
        gone = freed = 0
        held = self._usage.read()
        try:
            while gone < most:
                if held is None or not self._candidates:
                    if held is None or self._concerns(eviction, held, need - freed, now):
                        return Outcome.BLIND
                    break
                candidate = self._candidates[0]
                used = candidate.used_ns / 1e9
                limit = eviction.verdict(used, held, now) or (Limit.DISK if freed < need else None)
                if limit is None:
                    break
                self._candidates.popleft()
                if (size := self._evict(candidate, limit, now)) is not None:
                    freed += size
                    gone += 1
                held = self._usage.read()
            else:
                return Outcome.MORE
            self._pass = None
            return Outcome.DONE
        finally:
            self._end_notes()
            if gone:
                log.debug("Evicted", path=self._layout.content, count=gone, size=freed)

    def _concerns(self, eviction: Pass, held: Held, need: int, now: float) -> bool:
        """Whether a scan could find something to evict: ages are unknown without one."""
        if held.count == 0:
            return False
        return need > 0 or self._policy.max_seconds > 0 or eviction.verdict(now, held, now) is not None

    def _evict(self, candidate: Candidate, limit: Limit, now: float) -> int | None:
        """Remove a value unless it is gone or was used since the scan; what it counted for, or None.

        It leaves the directory before the last look at its access time: whoever marks it as used either did so
        before that look, or finds it absent. A reader keeps what it has open.
        """
        path, grave = f"{self._layout.content}/{candidate.name}", self._room.fresh()
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return None
        if status.st_atime_ns != candidate.used_ns:
            return None
        size = rounded(status.st_size, self._block)
        directory, _, last = candidate.name.partition("/")
        twin = self._twin_size(last) if directory == DIGESTS else 0
        # Before it goes: a kill in between would leave nobody who can tell. What stays after all is told of in vain.
        age = now - candidate.used_ns / 1e9
        self._journal.note(Eviction(now, key_text(candidate.name), size + twin, limit, age))
        with self._usage.leaving(size) as leaves:
            try:
                os.rename(path, grave)
            except FileNotFoundError:
                return None
            if os.lstat(grave).st_atime_ns != candidate.used_ns:
                with suppress(FileExistsError):
                    os.link(grave, path)
                os.unlink(grave)
                return None
            os.unlink(grave)
            leaves()
        return size + (
            without_twin(f"{self._layout.twins}/{last}", self._block, self._usage) if directory == DIGESTS else 0
        )

    def _twin_size(self, name: str) -> int:
        try:
            return rounded(os.lstat(f"{self._layout.twins}/{name}").st_size, self._block)
        except FileNotFoundError:
            return 0

    def _remove_orphan(self, twin: str) -> None:
        blob = f"{self._layout.content}/{DIGESTS}/{twin.rpartition('/')[2]}"
        if not os.path.exists(blob):
            fs.unlink(twin)

    def _end_notes(self) -> None:
        try:
            # On a full disk there may be room by now.
            self._journal.flush()
            self._journal.close()
            failure = self._journal.failure
        except OSError as closing:
            failure = closing
        if failure is not None and "journal" not in self._reported:
            self._reported.add("journal")
            log.warn("Evictions cannot be recorded", path=self._layout.journal, reason=failure.strerror)

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


def without_twin(path: str, block: int, usage: Usage | None) -> int:
    """Remove an executable twin, and say what it counted for: 0 when there was none."""
    try:
        size = rounded(os.lstat(path).st_size, block)
    except FileNotFoundError:
        return 0
    if usage is None:
        return size if fs.unlink(path) else 0
    with usage.leaving(size, values=0) as leaves:
        if not fs.unlink(path):
            return 0
        leaves()
    return size

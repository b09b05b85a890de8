"""The directories of one store as this process has opened them, and the moves on them. Everything here blocks."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import Final

from nlserver import fs, log
from nlserver.clock import Clock
from nlserver.errors import Code, Error
from nlserver.eviction import EvictionPolicy, Held
from nlserver.filesystem.census import rounded
from nlserver.filesystem.evictor import Evictor, without_twin
from nlserver.filesystem.incoming import Incoming
from nlserver.filesystem.layout import DIGESTS, STRINGS, Layout, file_name, is_value
from nlserver.filesystem.recency import Recency
from nlserver.filesystem.temp import TempRoom, clear_dead_rooms
from nlserver.filesystem.usage import Usage
from nlserver.reapi.digest import Digest
from nlserver.store import Key, is_empty

_WORTH_A_DESCRIPTOR: Final = 32
"""So many looks into a directory are cheaper from a descriptor of it, which spares the way there."""


class Directory:
    """Opened directories. Methods may be called from any thread, until `close`."""

    def __init__(
        self, content: str, temp: str, policy: EvictionPolicy, block: int, clock: Clock, *, keep_cached: bool = True
    ) -> None:
        """Make what is absent. Raises OSError."""
        content, temp = os.path.abspath(content), os.path.abspath(temp)
        _make(f"{content}/{DIGESTS}", f"{content}/{STRINGS}", temp)
        if os.stat(temp).st_dev != os.stat(content).st_dev:
            raise OSError(errno.EXDEV, "temp_path and content_path are on two file systems", temp)
        self.layout = Layout(content, _twins_directory(content))
        self.policy = policy
        self.clock = clock
        self.recency = Recency(policy.max_seconds)
        self._block = block
        self._keep_cached = keep_cached
        self.temp = temp
        self._room = TempRoom(temp)
        self.usage: Usage | None = None
        self.evictor: Evictor | None = None
        if policy.bounded:
            self.usage = Usage(self.layout.usage)
            self.evictor = Evictor(
                self.layout, policy, block, usage=self.usage, room=self._room, recency=self.recency, clock=clock
            )

    def sizes(self, keys: Sequence[Key]) -> tuple[list[int | None], bool]:
        """The bytes of each file or None, and whether uses were noted that are not on the disk yet."""
        if len(keys) < _WORTH_A_DESCRIPTOR:
            return self._sizes(keys, f"{self.layout.content}/", None)
        try:
            content = os.open(self.layout.content, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return [0 if is_empty(key) else None for key in keys], False
        try:
            return self._sizes(keys, "", content)
        finally:
            os.close(content)

    def _sizes(self, keys: Sequence[Key], prefix: str, content: int | None) -> tuple[list[int | None], bool]:
        # One call brings ten thousand keys: what is called for each costs nearly as much as the look at the disk.
        look, serves, now = os.stat, self.serves, self.clock.wall()
        fresh = self.recency.fresh_since(now)
        sizes: list[int | None] = []
        used: list[str] = []
        for key in keys:
            if is_empty(key):
                sizes.append(0)
                continue
            try:
                status = look(prefix + file_name(key), dir_fd=content, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                sizes.append(None)
                continue
            if not serves(status, now):
                sizes.append(None)
                continue
            if status.st_atime <= fresh:
                used.append(self.layout.path(key))
            sizes.append(status.st_size)
        if used:
            self.recency.use_all(used, now)
        return sizes, bool(used)

    def serves(self, status: os.stat_result, now: float) -> bool:
        """Whether a file counts as present: regular and not past its age."""
        return stat.S_ISREG(status.st_mode) and not self.policy.expired(status.st_atime, now)

    def refuse(self, key: Key, size: int) -> None:
        """Raise Error RESOURCE_EXHAUSTED when a value of this size can never be held."""
        if self.policy.refuses(rounded(size, self._block)):
            raise Error(
                Code.RESOURCE_EXHAUSTED,
                f"{key} does not fit: it has {size} bytes or more, and the store must stay below "
                f"max_bytes = {self.policy.max_bytes}",
                where=self.layout.content,
                remedy="raise eviction_policy.max_bytes",
            )

    def incoming(self) -> Incoming:
        """A temporary file for a value."""
        make_room = self.evictor.make_room if self.evictor is not None else _no_room
        return Incoming(self._room.fresh(), self.clock, make_room=make_room, keep_cached=self._keep_cached)

    def place(self, key: Key, incoming: Incoming) -> Held:
        """Give a synced file its final name; by how much the store holds more now. Raises OSError."""
        final = self.layout.path(key)
        try:
            before = incoming.replace(final)
        except FileNotFoundError:
            # Somebody removed the directories under the running store.
            self._restore()
            before = incoming.replace(final)
        return Held(int(before is None), rounded(incoming.size, self._block) - rounded(before or 0, self._block))

    def count_twin(self, size: int) -> None:
        """An executable twin of this size was made."""
        if self.usage is not None:
            self.usage.add(0, rounded(size, self._block))

    def remove(self, key: Key) -> bool:
        """Remove a value and its executable twin; False when it was absent."""
        path = self.layout.path(key)
        try:
            size = rounded(os.lstat(path).st_size, self._block)
        except FileNotFoundError:
            return False
        if self.usage is None:
            removed = fs.unlink(path)
        else:
            with self.usage.leaving(size) as leaves:
                if removed := fs.unlink(path):
                    leaves()
        if isinstance(key, Digest):
            without_twin(self.layout.twin(key), self._block, self.usage)
        return removed

    def tidy(self) -> None:
        """Clear away what dead processes left, and count what is there."""
        self._adopt_flat_files()
        if cleared := clear_dead_rooms(self.temp):
            log.info("Temporary files of ended processes removed", path=self.temp, rooms=cleared)
        if self.evictor is not None:
            self.evictor.recount()

    def close(self) -> None:
        """Mark the last uses, and remove this process's temporary files."""
        self.recency.flush()
        self._room.close()
        if self.usage is not None:
            self.usage.close()

    def _restore(self) -> None:
        _make(*self.layout.directories)
        self._room.restore()
        if self.usage is not None:
            self.usage.reopen()

    def _adopt_flat_files(self) -> None:
        """Old NativeLink versions kept values directly in `content_path`."""
        for name in os.listdir(self.layout.content):
            path = f"{self.layout.content}/{name}"
            if is_value(DIGESTS, name) and os.path.isfile(path):
                os.rename(path, f"{self.layout.directories[0]}/{name}")


def _no_room(size: int) -> bool:
    return False


def _make(*paths: str) -> None:
    for path in paths:
        os.makedirs(path, exist_ok=True)


def _twins_directory(content: str) -> str:
    """`{content_path}.exec/d` as NativeLink has it, or a place inside where that is no neighbour of `content_path`.

    In a container whose mount is `content_path` itself, what stands beside it is on another file system.
    """
    beside = f"{content}.exec/{DIGESTS}"
    try:
        _make(beside)
        if os.stat(beside).st_dev == os.stat(content).st_dev and os.access(beside, os.W_OK):
            return beside
    except OSError as failure:
        log.debug("Executable copies stand inside content_path", path=content, reason=failure.strerror)
    inside = f"{content}/.exec/{DIGESTS}"
    _make(inside)
    return inside

"""The work directory: owned by one worker, with one directory for each running action.

When nothing runs, nothing of any action is left. What stays are spare directories for the next ones, empty down to
their two files of 0 bytes: ext4 looks through all that was deleted in the last seconds before it makes anything new,
so a worker that makes and deletes a few names for each action slows down every store on the file system (measured: a
fifth of a CAS's processor time).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from nlserver import fs
from nlserver.errors import Code, Error
from nlserver.worker import beneath

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_MODE: Final = 0o755
_MOST_SPARES: Final = 64
_ENTRIES_AT_ONCE: Final = 10_000
# Neither the depth of a tree nor the length of its paths matters, since what is nested deeper is moved up first.
_MOST_NESTED: Final = 32
SPARE: Final = ".spare-"
"""How the names of spare directories begin."""
_STREAMS: Final = frozenset(("stdout", "stderr"))
_STREAM_MODE: Final = stat.S_IFREG | 0o600


@dataclass(frozen=True)
class ActionDirectory:
    """The directory of one action: its execution root `work`, and beside it what the action must not mix with.

    Nothing here exists before `Workspace.create`.
    """

    path: str

    @property
    def root(self) -> str:
        """The execution root: the input tree is laid out here."""
        return f"{self.path}/work"

    @property
    def stdout(self) -> str:
        """The file with standard output."""
        return f"{self.path}/stdout"

    @property
    def stderr(self) -> str:
        """The file with standard error."""
        return f"{self.path}/stderr"

    @property
    def side_channel(self) -> str:
        """A file that the action's entrypoint may write; absent at first."""
        return f"{self.path}/side_channel"


def require_in_place(directory: ActionDirectory) -> None:
    """Raise Error FAILED_PRECONDITION when an action put something else in the place of its directory. Blocks."""
    try:
        if stat.S_ISDIR(os.lstat(directory.path).st_mode):
            return
    except FileNotFoundError:
        pass
    raise Error(Code.FAILED_PRECONDITION, "the action moved its own directory away")


def require_room(directory: ActionDirectory) -> None:
    """Raise Error RESOURCE_EXHAUSTED when the disk is full after an action: what it left may lack anything. Blocks.

    Programs notice a full disk late or never; without this look their empty files would be results like any other.
    """
    if fs.is_full(os.statvfs(directory.path), as_root=os.geteuid() == 0):
        raise Error(
            Code.RESOURCE_EXHAUSTED,
            "the disk of the worker is full, so that what the action left cannot be relied upon",
            where=directory.path,
            remedy="Free disk space there, or lower the `max_bytes` of the worker's fast store.",
        )


class Workspace:
    """A work directory under this process's lock.

    The lock is the directory's own (flock), so it ends with the process, however that ends; what an earlier process
    left in the directory is removed by `empty`.
    """

    def __init__(self, path: str) -> None:
        """Make and lock the directory. Raises Error FAILED_PRECONDITION when another worker holds it."""
        self.path = os.path.abspath(path)
        try:
            os.makedirs(self.path, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Error(
                Code.FAILED_PRECONDITION,
                f"work_directory cannot be used: {error.strerror}",
                where=self.path,
                remedy="Name a directory that this user may write.",
            ) from error
        self._lock()
        self._salt = os.urandom(8).hex()
        self._numbers = itertools.count()
        self._spares: list[str] = []

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise Error(
                Code.FAILED_PRECONDITION,
                "another worker uses this work_directory",
                where=self.path,
                remedy="Give each worker a work_directory of its own, or stop the other worker.",
            ) from error

    @property
    def owner(self) -> int:
        """A number that stands for this directory, also for a later process."""
        found = os.fstat(self._fd)
        return int.from_bytes(hashlib.sha256(f"{found.st_dev} {found.st_ino}".encode()).digest()[:5], "big")

    def close(self) -> None:
        """Remove the spare directories and give the lock back. Blocks."""
        while self._spares:
            self._remove(self._spares.pop())
        os.close(self._fd)

    def empty(self) -> None:
        """Remove everything in the directory. Blocks. Raises OSError for what cannot be removed."""
        for name in os.listdir(self._fd):
            self._remove(name)

    def directory(self, operation_id: str) -> ActionDirectory:
        """The directory of this operation, whatever its id is made of."""
        if _PLAIN_NAME.fullmatch(operation_id):
            return ActionDirectory(f"{self.path}/{operation_id}")
        return ActionDirectory(f"{self.path}/{hashlib.sha256(operation_id.encode()).hexdigest()}")

    def create(self, directory: ActionDirectory) -> None:
        """Make the directory with an empty execution root. Blocks. Raises OSError."""
        try:
            spare = self._spares.pop()
        except IndexError:
            os.mkdir(directory.path, 0o700)
            os.mkdir(directory.root, _MODE)
            return
        if os.path.lexists(directory.path):
            self._spares.append(spare)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), directory.path)
        os.rename(spare, os.path.basename(directory.path), src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def remove(self, directory: ActionDirectory) -> None:
        """Remove an action's directory with everything in it; absent is fine. Blocks. Raises OSError."""
        name = os.path.basename(directory.path)
        with suppress(FileNotFoundError):
            if len(self._spares) < _MOST_SPARES and self._blank(name):
                spare = f"{SPARE}{next(self._numbers)}"
                os.rename(name, spare, src_dir_fd=self._fd, dst_dir_fd=self._fd)
                self._spares.append(spare)
            else:
                self._remove(name)

    def _blank(self, name: str) -> bool:
        """Bring an action's directory back to what `create` makes; False when it cannot be told to be the same."""
        try:
            fd = beneath.opened_in_place(self._fd, name)
        except NotADirectoryError:
            return False
        try:
            os.fchmod(fd, 0o700)
            if os.listxattr(fd) or not self._blank_root(fd):
                return False
            _blank_rest(fd)
        except OSError:
            # The action left something odd; removing knows how to deal with that.
            return False
        finally:
            os.close(fd)
        return True

    def _blank_root(self, fd: int) -> bool:
        root = beneath.opened_in_place(fd, "work")
        try:
            os.fchmod(root, _MODE)
            moved: list[str] = []
            self._empty(root, moved)
            for name in moved:
                self._remove(name)
            # Access lists and the like would meet the next action.
            return not os.listxattr(root)
        finally:
            os.close(root)

    def _remove(self, name: str) -> None:
        waiting = [name]
        while waiting:
            self._remove_in(self._fd, waiting.pop(), waiting)

    def _remove_in(self, fd: int, name: str, moved: list[str], depth: int = 0) -> None:
        """Remove an entry of a directory. What is nested too deep is moved up, under names that `moved` gains."""
        try:
            own = beneath.opened_in_place(fd, name)
        except (NotADirectoryError, FileNotFoundError):
            _taken(os.unlink, fd, name)
            return
        try:
            self._empty(own, moved, depth + 1)
        finally:
            os.close(own)
        _taken(os.rmdir, fd, name)

    def _empty(self, fd: int, moved: list[str], depth: int = 0) -> None:
        while True:
            entries = _some(fd)
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    _taken(os.unlink, fd, entry.name)
                elif depth < _MOST_NESTED:
                    self._remove_in(fd, entry.name, moved, depth)
                else:
                    moved.append(self._moved_up(entry.name, fd))
            if len(entries) < _ENTRIES_AT_ONCE:
                return

    def _moved_up(self, name: str, fd: int) -> str:
        unique = f".{self._salt}-{next(self._numbers)}"
        for attempt in itertools.count():
            try:
                os.rename(name, unique, src_dir_fd=fd, dst_dir_fd=self._fd)
                break
            except PermissionError:
                if attempt > 0:
                    raise
                os.fchmod(fd, 0o700)
                beneath.permit(fd, name)
            except OSError as error:
                if not _unmounted(error, fd, name):
                    raise
        return unique


def _some(fd: int) -> list[os.DirEntry[str]]:
    """Entries of a directory, so few that a million of them take no memory."""
    with os.scandir(fd) as found:
        return list(itertools.islice(found, _ENTRIES_AT_ONCE))


class _Take(Protocol):
    """`os.unlink` or `os.rmdir`."""

    def __call__(self, path: str, *, dir_fd: int) -> None:
        """Take an entry away."""


def _taken(take: _Take, fd: int, name: str) -> None:
    """Take an entry away, also from a directory in which its owner may not write, and from under a mount."""
    for attempt in itertools.count():
        try:
            take(name, dir_fd=fd)
            return
        except PermissionError:
            if attempt > 0:
                raise
            os.fchmod(fd, 0o700)
        except OSError as error:
            if not _unmounted(error, fd, name):
                raise


def _unmounted(error: OSError, fd: int, name: str) -> bool:
    """Whether a call failed because of a mount that is gone now."""
    return error.errno == errno.EBUSY and beneath.unmounted(fd, name)


def _blank_rest(fd: int) -> None:
    """Cut the two streams, and remove what else stands beside the execution root."""
    with os.scandir(fd) as found:
        entries = [entry for entry in found if entry.name != "work"]
    for entry in entries:
        status = entry.stat(follow_symlinks=False)
        if entry.name not in _STREAMS or status.st_mode != _STREAM_MODE or status.st_nlink != 1:
            os.unlink(entry.name, dir_fd=fd)
        elif status.st_size:
            os.close(os.open(entry.name, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd))

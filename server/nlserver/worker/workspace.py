"""The work directory: owned by one worker, with one directory for each running action, empty when nothing runs."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from nlserver.errors import Code, Error

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_MODE: Final = 0o755


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
    def scratch(self) -> str:
        """Where nothing is but for a moment."""
        return f"{self.path}/scratch"

    @property
    def side_channel(self) -> str:
        """A file that the action's entrypoint may write; absent at first."""
        return f"{self.path}/side_channel"


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
        """Give the lock back."""
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
        os.mkdir(directory.path, 0o700)
        os.mkdir(directory.root, _MODE)

    def remove(self, directory: ActionDirectory) -> None:
        """Remove an action's directory with everything in it; absent is fine. Blocks. Raises OSError."""
        with suppress(FileNotFoundError):
            self._remove(os.path.basename(directory.path))

    def _remove(self, name: str) -> None:
        # Directories move up before they are emptied, so neither depth nor length of path matters.
        waiting = [name]
        while waiting:
            waiting += self._removed(waiting.pop())

    def _removed(self, name: str) -> list[str]:
        """Remove a file, or a directory but for its subdirectories; these are moved up, under the names returned."""
        try:
            fd = self._opened(name)
        except (NotADirectoryError, FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)
            return []
        try:
            # Actions may have left directories in which not even their owner may write.
            os.fchmod(fd, 0o700)
            moved = self._emptied(fd)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=self._fd)
        return moved

    def _opened(self, name: str) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(name, flags, dir_fd=self._fd)
        except PermissionError:
            os.chmod(name, 0o700, dir_fd=self._fd)
            return os.open(name, flags, dir_fd=self._fd)

    def _emptied(self, fd: int) -> list[str]:
        moved: list[str] = []
        with os.scandir(fd) as found:
            entries = list(found)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                moved.append(self._moved_up(entry.name, fd))
            else:
                os.unlink(entry.name, dir_fd=fd)
        return moved

    def _moved_up(self, name: str, fd: int) -> str:
        unique = f".{self._salt}-{next(self._numbers)}"
        try:
            os.rename(name, unique, src_dir_fd=fd, dst_dir_fd=self._fd)
        except PermissionError:
            os.chmod(name, 0o700, dir_fd=fd)
            os.rename(name, unique, src_dir_fd=fd, dst_dir_fd=self._fd)
        return unique

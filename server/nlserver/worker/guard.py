"""Finds inputs that an action changed through its hard link, so that the fast store forgets them.

Links are read-only, but who owns a file may change its mode, and root needs not even that. A blob that was written to
after the action began is hashed again; what does not match its digest any more, or has another mode, must be forgotten
before it is read: also when the action was killed. Everything here blocks.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from nlserver.reapi.digest import Digest, hasher, is_empty
from nlserver.store import LocalFiles
from nlserver.streams import CHUNK_BYTES
from nlserver.worker import beneath
from nlserver.worker.inputs import File, Layout

# The clock that stamps files: the ordinary one runs ahead of it by up to a tick.
_FILE_CLOCK: Final = time.CLOCK_REALTIME_COARSE if hasattr(time, "CLOCK_REALTIME_COARSE") else 5
# What store.LocalFiles promises of a link.
_MODE: Final = 0o444
_EXECUTABLE_MODE: Final = 0o555


def file_time_ns() -> int:
    """The time that a file written now would bear."""
    return time.clock_gettime_ns(_FILE_CLOCK)


@dataclass(frozen=True)
class Lent:
    """Links that a process may change from `since_ns` on, as `file_time_ns` told it."""

    layout: Layout
    since_ns: int

    def changed(self, root: str, staging: str, local: LocalFiles) -> list[Digest]:
        """Blobs whose file in the fast store does not hold their bytes any more, or cannot be read.

        Call it when the action's last process is gone. `staging` is a directory on the same file system.
        """
        suspects = {(file.digest, file.executable): None for file in self._suspects(root)}
        bad: dict[Digest, None] = {}
        for digest, executable in suspects:
            if not _sound(digest, executable, local, staging):
                bad[digest] = None
        return list(bad)

    def _suspects(self, root: str) -> list[File]:
        files = [file for file in self.layout.files if not file.private and not is_empty(file.digest)]
        try:
            fd = os.open(root, beneath.DIRECTORY)
        except OSError:
            # The action moved all of it away.
            return files
        try:
            return [file for file in files if _suspect(fd, file, self.since_ns)]
        finally:
            os.close(fd)


def _suspect(fd: int, file: File, since_ns: int) -> bool:
    """Whether the link was changed, or is not there any more and may have been changed under another name."""
    try:
        found = os.stat(file.path, dir_fd=fd, follow_symlinks=False)
    except OSError:
        return True
    return (
        found.st_mtime_ns >= since_ns
        or found.st_size != file.digest.size_bytes
        or found.st_mode != stat.S_IFREG | _mode(executable=file.executable)
    )


def _mode(*, executable: bool) -> int:
    return _EXECUTABLE_MODE if executable else _MODE


def _sound(digest: Digest, executable: bool, local: LocalFiles, staging: str) -> bool:
    # A name that the action could not take first.
    path = f"{staging}/{secrets.token_hex(8)}"
    try:
        if not local.link(digest, path, executable=executable):
            return True
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError:
        return False
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)
    try:
        return stat.S_IMODE(os.fstat(fd).st_mode) == _mode(executable=executable) and _hash(fd, digest) == digest.hash
    finally:
        os.close(fd)


def _hash(fd: int, digest: Digest) -> str:
    check = hasher(digest.function)
    while chunk := os.read(fd, CHUNK_BYTES):
        check.update(chunk)
    return check.hexdigest()

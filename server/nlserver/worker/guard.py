"""Finds inputs that an action changed through its hard link, so that the fast store forgets them.

Links are read-only, but who owns a file may change its mode, and root needs not even that. A blob that was written to
after the action began is hashed again; what does not match its digest any more must be forgotten before it is read.
Everything here blocks.
"""

from __future__ import annotations

import os
import stat
import time
from typing import Final

from nlserver.reapi.digest import Digest, hasher, is_empty
from nlserver.store import LocalFiles
from nlserver.streams import CHUNK_BYTES
from nlserver.worker.finish import Stop
from nlserver.worker.inputs import File, Layout

# The clock that stamps files: the ordinary one runs ahead of it by up to a tick.
_FILE_CLOCK: Final = time.CLOCK_REALTIME_COARSE if hasattr(time, "CLOCK_REALTIME_COARSE") else 5
_WRITABLE: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def file_time_ns() -> int:
    """The time that a file written now would bear."""
    return time.clock_gettime_ns(_FILE_CLOCK)


def changed(stop: Stop, layout: Layout, root: str, since_ns: int, local: LocalFiles, scratch: str) -> list[Digest]:
    """Blobs whose file in the fast store does not hold their bytes any more.

    Call it when the action's last process is gone. `scratch` is a path beside the execution root where nothing is.
    """
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        suspects = {
            (file.digest, file.executable): None
            for file in layout.files
            if not file.private and not is_empty(file.digest) and _suspect(fd, file, since_ns)
        }
    finally:
        os.close(fd)
    bad: dict[Digest, None] = {}
    for digest, executable in suspects:
        stop.check()
        if not _sound(stop, digest, executable, local, scratch):
            bad[digest] = None
    return list(bad)


def _suspect(fd: int, file: File, since_ns: int) -> bool:
    """Whether the link was changed, or is not there any more and may have been changed under another name."""
    try:
        found = os.stat(file.path, dir_fd=fd, follow_symlinks=False)
    except OSError:
        return True
    return (
        not stat.S_ISREG(found.st_mode)
        or found.st_mtime_ns >= since_ns
        or found.st_size != file.digest.size_bytes
        or bool(found.st_mode & _WRITABLE)
    )


def _sound(stop: Stop, digest: Digest, executable: bool, local: LocalFiles, scratch: str) -> bool:
    if not local.link(digest, scratch, executable=executable):
        return True
    try:
        fd = os.open(scratch, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return not os.fstat(fd).st_mode & _WRITABLE and _hash(stop, fd, digest) == digest.hash
        finally:
            os.close(fd)
    finally:
        os.unlink(scratch)


def _hash(stop: Stop, fd: int, digest: Digest) -> str:
    check = hasher(digest.function)
    while chunk := os.read(fd, CHUNK_BYTES):
        stop.check()
        check.update(chunk)
    return check.hexdigest()

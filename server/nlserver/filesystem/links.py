"""Blobs as files in a worker's directories, by hard link. Everything here blocks."""

from __future__ import annotations

import errno
import os
from typing import Final

from nlserver import fs
from nlserver.filesystem.directory import Directory
from nlserver.filesystem.incoming import TWIN_MODE, VALUE_MODE
from nlserver.reapi.digest import Digest

# A place on another file system, a file of another user (fs.protected_hardlinks), a file with too many names.
_CANNOT_LINK: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK})


def link(directory: Directory, digest: Digest, to: str, *, executable: bool, dir_fd: int | None) -> bool:
    """Make `to` a read-only file with this blob's bytes; see `store.LocalFiles.link`.

    The mode of a blob's own file never changes: what must be executable is linked to a copy that is made once.
    Where the file system cannot link, `to` is a copy.
    """
    mode = TWIN_MODE if executable else VALUE_MODE
    if digest.size_bytes == 0:
        os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=dir_fd))
        return True
    path = directory.layout.path(digest)
    directory.recency.use(path, 0.0, directory.clock.wall())
    if not executable:
        return _linked(path, to, mode, dir_fd)
    twin = directory.layout.twin(digest)
    return _linked(twin, to, mode, dir_fd) or (_make_twin(directory, digest) and _linked(twin, to, mode, dir_fd))


def _linked(source: str, to: str, mode: int, dir_fd: int | None) -> bool:
    try:
        os.link(source, to, dst_dir_fd=dir_fd)
    except FileNotFoundError:
        if os.path.lexists(source):
            raise
        return False
    except OSError as failure:
        if failure.errno not in _CANNOT_LINK:
            raise
        return _copied(source, to, mode, dir_fd)
    return True


def _copied(source: str, to: str, mode: int, dir_fd: int | None) -> bool:
    try:
        reading = fs.open_to_read(source)
    except FileNotFoundError:
        return False
    try:
        writing = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=dir_fd)
        try:
            fs.copy_all(reading, writing)
            os.fchmod(writing, mode)
        finally:
            os.close(writing)
    finally:
        os.close(reading)
    return True


def _make_twin(directory: Directory, digest: Digest) -> bool:
    try:
        source = fs.open_to_read(directory.layout.path(digest))
    except FileNotFoundError:
        return False
    incoming = directory.incoming()
    try:
        incoming.copy(source)
        incoming.finish(TWIN_MODE)
        incoming.sync()
        if incoming.settle(directory.layout.twin(digest)):
            directory.count_twin(incoming.size)
    finally:
        incoming.discard()
        os.close(source)
    return True

"""Entries of directories that an action may have filled, and may still be changing: opened by one name at a time.

Laws: no link is followed, no file system is entered that is mounted on the way, nothing but files and directories is
opened. Everything here blocks, and raises OSError. Linux only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from typing import Final

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Not waiting and taking no terminal, since a file may become a FIFO or a device just before it is opened."""
HERE: Final = -100
"""Stands for no directory, where a path is absolute: AT_FDCWD."""
_HANDLE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_OWN: Final = 0o700
_ENTER: Final = 0o500
_READ: Final = 0o400

_OPENAT2: Final = 437
# linux/openat2.h
_RESOLVE_NO_XDEV: Final = 0x01
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
# sys/mount.h
_MNT_DETACH: Final = 0x02
_UMOUNT_NOFOLLOW: Final = 0x08
_MOST_STACKED: Final = 100

_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    """linux/openat2.h, struct open_how."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_RESOLVE: Final = _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
_IN_PLACE: Final = _How(DIRECTORY, 0, _RESOLVE)
_libc.syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_How), ctypes.c_size_t)
_libc.syscall.restype = ctypes.c_long
# Kernels before 5.6 do not know the call, and some containers forbid what they do not know.
_UNKNOWN: Final = frozenset((errno.ENOSYS, errno.EPERM, errno.E2BIG, errno.EINVAL))


def opened(fd: int, name: str, flags: int) -> int:
    """A descriptor of an entry, also of one whose permissions the action took away."""
    try:
        return os.open(name, flags, dir_fd=fd)
    except PermissionError:
        permit(fd, name)
        return os.open(name, flags, dir_fd=fd)


def opened_directory(fd: int, name: str) -> int:
    """A descriptor of a directory whose entries can be listed and opened."""
    own = opened(fd, name, DIRECTORY)
    if os.fstat(own).st_mode & _ENTER != _ENTER:
        os.fchmod(own, _OWN)
    return own


def permit(fd: int, name: str) -> None:
    """Let the owner read a file, or do everything with a directory; not where the name stands for anything else."""
    handle = os.open(name, _HANDLE, dir_fd=fd)
    try:
        mode = os.fstat(handle).st_mode
        wanted = _OWN if stat.S_ISDIR(mode) else _READ if stat.S_ISREG(mode) else 0
        if wanted:
            # A descriptor of this kind takes no fchmod, and a path would be a second look at the name.
            os.chmod(f"/proc/self/fd/{handle}", stat.S_IMODE(mode) | wanted)
    finally:
        os.close(handle)


def opened_in_place(fd: int, name: str) -> int:
    """A descriptor of a directory on the same mount.

    What is mounted over it is unmounted. Raises OSError EXDEV where this process may not do that.
    """
    for _ in range(_MOST_STACKED):
        try:
            return _in_place(fd, name)
        except PermissionError:
            # Either the directory that is looked in lets nobody through, or its entry lets nobody in.
            if os.fstat(fd).st_mode & _ENTER != _ENTER:
                os.fchmod(fd, _OWN)
            else:
                permit(fd, name)
        except OSError as error:
            if error.errno != errno.EXDEV or not unmounted(fd, name):
                raise
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)


def _in_place(fd: int, name: str) -> int:
    found: int = _libc.syscall(_OPENAT2, fd, os.fsencode(name), ctypes.byref(_IN_PLACE), ctypes.sizeof(_IN_PLACE))
    if found >= 0:
        return found
    failed = ctypes.get_errno()
    if failed not in _UNKNOWN:
        raise OSError(failed, os.strerror(failed), name)
    own = os.open(name, DIRECTORY, dir_fd=fd)
    if os.fstat(own).st_dev != os.fstat(fd).st_dev:
        os.close(own)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
    return own


def unmounted(fd: int, name: str) -> bool:
    """Take away what is mounted over an entry; False where nothing is, or where this process may not."""
    path = os.fsencode(f"/proc/self/fd/{fd}/{name}")
    return bool(_libc.umount2(path, _MNT_DETACH | _UMOUNT_NOFOLLOW) == 0)

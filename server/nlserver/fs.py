"""Files of this machine: blocking work in threads, and the small moves that keep data whole.

Law: what was begun in a thread has ended before its caller goes on, cancelled or not, so that no descriptor is
closed and no file removed under a running call.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

from nlserver.errors import Code, Error

P = ParamSpec("P")
T = TypeVar("T")
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})
# linux/fs.h; the fcntl module of Python 3.11 does not name it.
_FICLONE: Final = 0x40049409
_COPY_BYTES: Final = 8 << 20
_NEXT_TO_NOTHING: Final = 32 << 10
_SYNC_FILE_RANGE_WRITE: Final = 2
# linux/magic.h: tmpfs and ramfs.
_MEMORY_FILE_SYSTEMS: Final = frozenset({0x01021994, 0x858458F6})
_fstatfs = getattr(ctypes.CDLL(None), "fstatfs", None)
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)

# More threads than cores: they wait for disks. A process that never touches a disk starts none of them.
_DISK: Final = ThreadPoolExecutor(16, thread_name_prefix="disk")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of blocking work. Cancelled, it waits for work that has begun and then raises CancelledError.

    What the work opens must be reachable for the caller's clean-up, because its result is lost when cancelled.
    """
    job = _DISK.submit(work, *args, **kwargs)
    try:
        return await asyncio.shield(asyncio.wrap_future(job))
    except asyncio.CancelledError:
        if not job.cancel():
            await settled(asyncio.wrap_future(job))
        raise


async def settled(work: asyncio.Future[T]) -> None:
    """Return when a task or future has ended, however it did. Cancelled, raise CancelledError only then."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as error:
            cancelled = error
    if not work.cancelled():
        work.exception()
    if cancelled is not None:
        raise cancelled


class Grouped:
    """Blocking work that serves every caller who asked before it began, such as the fsync of a directory."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    async def done(self) -> None:
        """Return after a run of the work that began after this call; raise what it raised."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        await waiter

    async def _run(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            failure: BaseException | None = None
            try:
                await in_thread(self._work)
            except OSError as error:
                failure = error
            for waiter in group:
                if waiter.done():
                    continue
                if failure is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(failure)
        self._task = None


def error_of(failure: OSError, doing: str) -> Error:
    """The Error for a failed call on a file; `doing` begins the sentence, such as "writing /data/cas"."""
    reason = failure.strerror or str(failure)
    if failure.errno in _NO_ROOM:
        return Error(Code.RESOURCE_EXHAUSTED, f"{doing}: {reason}", remedy="free disk space or lower `max_bytes`")
    if failure.errno in _OUT_OF_FILES:
        return Error(Code.RESOURCE_EXHAUSTED, f"{doing}: {reason}", remedy="raise the limit of open files (ulimit -n)")
    if failure.errno in _REFUSED:
        return Error(Code.FAILED_PRECONDITION, f"{doing}: {reason}", remedy="let this process write there")
    return Error(Code.INTERNAL, f"{doing}: {reason}")


@contextmanager
def failing(doing: str) -> Iterator[None]:
    """Raise an OSError of the block as the Error that `error_of` makes of it."""
    try:
        yield
    except OSError as failure:
        raise error_of(failure, doing) from failure


def no_room(failure: OSError) -> bool:
    """Whether a call failed for want of space."""
    return failure.errno in _NO_ROOM


def is_full(found: os.statvfs_result, *, as_root: bool) -> bool:
    """Whether a file system has next to nothing left, in bytes or in files. Pure.

    Some of the space may be for root alone; file systems that count no blocks or no files are never full of them.
    """
    blocks, files = (found.f_bfree, found.f_ffree) if as_root else (found.f_bavail, found.f_favail)
    return (found.f_blocks > 0 and blocks * found.f_frsize < _NEXT_TO_NOTHING) or (found.f_files > 0 and files == 0)


def in_memory(fd: int) -> bool:
    """Whether the file system of an open file keeps it in memory alone."""
    found = (ctypes.c_long * 64)()
    return _fstatfs is not None and _fstatfs(fd, found) == 0 and found[0] in _MEMORY_FILE_SYSTEMS


def write_all(fd: int, parts: Sequence[bytes | memoryview], retry: Callable[[int], bool] = lambda left: False) -> None:
    """Append all parts to a file. Blocking.

    Without space, `retry` is asked once with the bytes that are left: True means that there may be room now.
    """
    left = [memoryview(part) for part in parts if part]
    asked = False
    while left:
        try:
            written = os.writev(fd, left[:64])
        except OSError as failure:
            if asked or not no_room(failure) or not retry(sum(map(len, left))):
                raise
            asked = True
            continue
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]


def start_writeback(fd: int) -> None:
    """Let the kernel begin to write what a file still has only in memory, without waiting for it.

    An fdatasync waits less afterwards; the fdatasyncs of several files that all began so share one commit of the
    file system's journal.
    """
    if _sync_file_range is not None:
        _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)


def clone(source: int, target: int) -> bool:
    """Make `target` share the blocks of `source`, copy on write; False where the file system cannot."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def copy_some(source: int, target: int) -> int:
    """Copy the next bytes from one file to another inside the kernel where it can; 0 at the end. Blocking."""
    try:
        return os.copy_file_range(source, target, _COPY_BYTES)
    except OSError as failure:
        if failure.errno not in {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
    data = os.read(source, _COPY_BYTES)
    write_all(target, [data])
    return len(data)


def copy_all(source: int, target: int) -> None:
    """Fill the empty file `target` with what `source` holds from its position on. Blocking."""
    if not clone(source, target):
        while copy_some(source, target):
            pass


def open_to_read(path: str) -> int:
    """Open a regular file, not following a link in its last part. Blocking. Raises OSError."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        # Reading must not cost a write of the access time; only the owner may ask for that.
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)


def sync_directory(path: str) -> None:
    """Make the names in a directory survive a power failure. Blocking."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as failure:
        # Some network file systems cannot sync a directory and need not.
        if failure.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF}:
            raise
    finally:
        os.close(fd)


def try_lock(fd: int) -> bool:
    """Take the exclusive flock of an open file, or say that somebody else has it. Closing the file releases it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def umask() -> int:
    """The bits that new files of this process lack. Not while another thread makes files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def unlink(path: str) -> bool:
    """Remove a name; False when it is not there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True

"""Processes that outlive the action which started them: how they are recognised, killed and reaped without root.

Every process of an action carries a mark: a soft limit of real-time CPU (RLIMIT_RTTIME) of some 70,000 years, which
concerns real-time processes only and which children inherit through fork, exec, setsid and a cleared environment.
The worker is a subreaper, so what loses its parent becomes the worker's child and can be waited for. Linux only.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import resource
import signal
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from nlserver.errors import Code, Error

_PR_SET_CHILD_SUBREAPER: Final = 36
_LIMIT: Final = re.compile(rb"Max realtime timeout +(\d+)")
_FLAG: Final = 1 << 61
_SERIAL_BITS: Final = 20
_OWNER_BITS: Final = 40
_PAUSE_SECONDS: Final = 0.002


class Marks:
    """The marks of one owner (a worker), told apart by a number that survives the worker's death."""

    def __init__(self, owner: int) -> None:
        self._first = _FLAG | (owner & ((1 << _OWNER_BITS) - 1)) << _SERIAL_BITS
        self._serial = itertools.count()

    def fresh(self) -> int:
        """A mark that no living process carries; a million actions later it comes again."""
        return self._first | next(self._serial) & ((1 << _SERIAL_BITS) - 1)

    def kill_all(self, within_seconds: float) -> None:
        """Kill every process with any of these marks: what a worker that was killed itself left running. Blocks."""
        deadline = time.monotonic() + within_seconds
        while left := [pid for pid in _processes() if self._mine(mark_of(pid)) and _alive(pid)]:
            _kill(left)
            if time.monotonic() > deadline:
                raise Error(Code.INTERNAL, f"processes of an earlier worker cannot be killed: {left}")
            time.sleep(_PAUSE_SECONDS)

    def _mine(self, mark: int | None) -> bool:
        return mark is not None and mark >> _SERIAL_BITS == self._first >> _SERIAL_BITS


def adopt() -> None:
    """Become the parent of every descendant that loses its own (PR_SET_CHILD_SUBREAPER)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise Error(Code.FAILED_PRECONDITION, f"this process cannot adopt orphans of actions: {reason}")


@contextmanager
def marking(mark: int) -> Iterator[None]:
    """Children started inside carry the mark. Not for two threads at a time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    if hard != resource.RLIM_INFINITY:
        # A machine that limits real-time processes: only the process group is killed there.
        yield
        return
    resource.setrlimit(resource.RLIMIT_RTTIME, (mark, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, (soft, hard))


def orphans(mark: int, known: Collection[int]) -> list[int]:
    """Children with the mark, dead ones included, that are not among the `known`."""
    return [pid for pid in _children() if pid not in known and mark_of(pid) == mark]


def sweep(mark: int, known: Collection[int], within_seconds: float) -> None:
    """Kill and reap everything with the mark. Blocks. Raises Error INTERNAL when something does not die in time."""
    deadline = time.monotonic() + within_seconds
    while left := orphans(mark, known):
        _kill(pid for pid in _processes() if pid not in known and mark_of(pid) == mark)
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            raise Error(Code.INTERNAL, f"processes of an action cannot be killed: {left}")
        time.sleep(_PAUSE_SECONDS)


def mark_of(pid: int) -> int | None:
    """The mark that a process carries."""
    found = _LIMIT.search(_read(f"/proc/{pid}/limits"))
    mark = int(found[1]) if found else 0
    return mark if mark & _FLAG else None


def _children() -> list[int]:
    own = os.getpid()
    # Orphans go to the first living thread of the subreaper, which is the main thread.
    path = f"/proc/self/task/{own}/children"
    listed = _read(path)
    if listed or os.path.exists(path):
        return [int(pid) for pid in listed.split()]
    return [pid for pid in _processes() if _stat(pid)[1:2] == [b"%d" % own]]


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _alive(pid: int) -> bool:
    return _stat(pid)[:1] not in ([], [b"Z"])


def _stat(pid: int) -> list[bytes]:
    """State, parent, ... of a process: what follows its name in /proc/PID/stat; nothing when it is gone."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 1 << 20)
    except OSError:
        return b""
    finally:
        os.close(fd)

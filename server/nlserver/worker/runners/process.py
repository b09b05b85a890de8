"""Actions as plain processes of this machine, each a session of its own. Linux only (pidfd, subreaper)."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from nlserver import fs
from nlserver.errors import Code, Error, invalid
from nlserver.worker.finish import finished
from nlserver.worker.runner import Ended, Ending, Task, Usage
from nlserver.worker.runners import orphans

MOST_OUTPUT_BYTES: Final = 1 << 30
"""What one action may write to its standard output, and to its standard error."""
_LOOK_SECONDS: Final = 0.25
_UMASK: Final = 0o022
_NO_ROOM: Final = frozenset((errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE))
_BUSY_ATTEMPTS: Final = 20
_BUSY_SECONDS: Final = 0.01


class ProcessRunner:
    """A Runner. Files with standard output past `most_output_bytes` end the process and are cut.

    `marks` names this runner's processes so that none is left behind, however it detached itself. What was killed
    must be gone within `death_seconds`, or the run fails with Error INTERNAL.
    """

    def __init__(self, marks: orphans.Marks, death_seconds: float, most_output_bytes: int = MOST_OUTPUT_BYTES) -> None:
        self._marks = marks
        self._death_seconds = death_seconds
        self._most = most_output_bytes
        self._running: set[int] = set()

    async def run(self, task: Task) -> Ended:
        """See `Runner.run`."""
        mark = self._marks.fresh()
        with _output_files(task) as (stdout, stderr):
            try:
                process = await _started(task, stdout, stderr, mark)
            except OSError as error:
                return _not_started(task, stderr, error)
        exit_ = _watched(process)
        self._running.add(process.pid)
        ending = Ending.EXITED
        try:
            async with asyncio.timeout(task.timeout_seconds):
                ending = await self._ended(exit_, task)
        except TimeoutError:
            ending = Ending.TIMED_OUT
        finally:
            code, usage = await finished(self._buried(process, exit_, mark))
        if ending is Ending.TOO_LOUD:
            self._cut(task)
        return Ended(code, ending, usage)

    async def _ended(self, exit_: _Exit, task: Task) -> Ending:
        while not await exit_.within(_LOOK_SECONDS):
            if self._loud(task.stdout) or self._loud(task.stderr):
                return Ending.TOO_LOUD
        return Ending.EXITED

    def _loud(self, path: str) -> bool:
        try:
            return os.stat(path, follow_symlinks=False).st_size > self._most
        except FileNotFoundError:
            return False

    async def _buried(self, process: subprocess.Popen[bytes], exit_: _Exit, mark: int) -> tuple[int, Usage]:
        """Kill the group, reap the process, then whatever detached itself."""
        # The dead leader is not reaped yet, so the number cannot name another group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            if not await exit_.within(self._death_seconds):
                raise Error(Code.INTERNAL, f"process {process.pid} of an action cannot be killed")
            usage = _reaped(process)
            if orphans.orphans(mark, self._running):
                await fs.in_thread(orphans.sweep, mark, frozenset(self._running - {process.pid}), self._death_seconds)
        finally:
            exit_.close()
            self._running.discard(process.pid)
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        return code, usage

    def _cut(self, task: Task) -> None:
        for path in (task.stdout, task.stderr):
            if self._loud(path):
                with _own_file(path) as fd:
                    os.ftruncate(fd, self._most)
        with _own_file(task.stderr) as fd:
            os.write(fd, b"\nworker: killed, because it wrote more than %d bytes of output\n" % self._most)


class _Exit:
    """The end of a child that nobody has reaped yet, seen through a pidfd on the running loop."""

    def __init__(self, pid: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._fd = os.pidfd_open(pid)
        self._loop.add_reader(self._fd, self._seen)

    def _seen(self) -> None:
        self._loop.remove_reader(self._fd)
        if not self._ended.done():
            self._ended.set_result(None)

    async def within(self, seconds: float) -> bool:
        """Whether it has ended, after at most so many seconds."""
        if not self._ended.done():
            await asyncio.wait([self._ended], timeout=seconds)
        return self._ended.done()

    def close(self) -> None:
        """Forget the child."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)


def _watched(process: subprocess.Popen[bytes]) -> _Exit:
    try:
        return _Exit(process.pid)
    except OSError as error:
        process.kill()
        process.wait()
        raise Error(Code.RESOURCE_EXHAUSTED, f"this worker cannot watch another process: {error.strerror}") from error


def _reaped(process: subprocess.Popen[bytes]) -> Usage:
    """Reap a process that has ended."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # The largest memory is at least the worker's own: the kernel counts from before exec.
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss)


@contextmanager
def _output_files(task: Task) -> Iterator[tuple[int, int]]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with ExitStack() as opened:
        files = []
        for path in (task.stdout, task.stderr):
            files.append(os.open(path, flags, 0o600))
            opened.callback(os.close, files[-1])
        yield files[0], files[1]


@contextmanager
def _own_file(path: str) -> Iterator[int]:
    """A descriptor to add to a file with output; the action may have put anything in its place."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise _replaced(path) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _replaced(path)
        yield fd
    finally:
        os.close(fd)


def _replaced(path: str) -> Error:
    name = os.path.basename(path)
    return Error(Code.FAILED_PRECONDITION, f"the action put something else in the place of the file of its {name}")


async def _started(task: Task, stdout: int, stderr: int, mark: int) -> subprocess.Popen[bytes]:
    for _ in range(_BUSY_ATTEMPTS):
        try:
            return _spawned(task, stdout, stderr, mark)
        except OSError as error:
            # Somebody still holds the program open for writing: a race of whoever made the file.
            if error.errno != errno.ETXTBSY:
                raise
            await asyncio.sleep(_BUSY_SECONDS)
    return _spawned(task, stdout, stderr, mark)


def _spawned(task: Task, stdout: int, stderr: int, mark: int) -> subprocess.Popen[bytes]:
    # On the loop, not in a thread: fork and exec hold the interpreter's lock anyway.
    with orphans.marking(mark):
        return subprocess.Popen(
            [argument.encode() for argument in task.arguments],
            cwd=task.directory,
            env={name.encode(): value.encode() for name, value in task.environment.items()},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            umask=_UMASK,
        )


def _not_started(task: Task, stderr: int, error: OSError) -> Ended:
    """What a shell would say and answer. Raises Error where trying again, or other arguments, may help."""
    if error.errno in _NO_ROOM:
        raise Error(Code.RESOURCE_EXHAUSTED, f"this worker has no room for another process: {error.strerror}")
    if error.errno == errno.E2BIG:
        raise invalid("the command line and the environment are longer than the kernel allows")
    absent = error.errno in (errno.ENOENT, errno.ENOTDIR)
    reason = "command not found" if absent else error.strerror or "cannot be started"
    os.write(stderr, f"{task.arguments[0]}: {reason}\n".encode())
    return Ended(127 if absent else 126, Ending.NOT_STARTED)

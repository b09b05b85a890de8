"""Several processes that serve the same listeners, under a parent that starts them, watches them and ends them.

The kernel spreads connections over them (SO_REUSEPORT). The parent makes no gRPC object, because none survives a
fork; it holds the addresses, so that nobody else takes them while a process is started again.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from nlserver import forked, log
from nlserver.board import Board, Phase

_LONGEST_DELAY_SECONDS: Final = 30.0
_STABLE_SECONDS: Final = 60.0
_READY: Final = b"READY=1\n"

Serve = Callable[[int, int], int]
"""Serves as the process with this index until a signal ends it; tells the descriptor `READY=1` once it does."""


def delay_seconds(lived: float, before: float) -> float:
    """How long to wait before a process that lived so long is started again; `before` is the delay of the last time."""
    if lived >= _STABLE_SECONDS:
        return 0.0
    return min(max(1.0, before * 2), _LONGEST_DELAY_SECONDS)


@dataclass
class _Member:
    """One process, or the place of one that is to be started again at `due`."""

    index: int
    pid: int = 0
    started: float = 0.0
    pidfd: int = -1
    pipe: int = -1
    delay: float = 0.0
    due: float | None = None


class Group:
    """`run` starts the processes and returns when all have ended.

    `held` keeps the addresses; `ready` is called once, when all processes serve; `tidy` before anything is said. A
    process that ends without being asked is started again; when one of the first cannot start, all end.
    """

    def __init__(
        self,
        board: Board,
        serve: Serve,
        held: list[socket.socket],
        ready: Callable[[], None],
        tidy: Callable[[], None],
    ) -> None:
        self._board = board
        self._serve = serve
        self._held = held
        self._ready = ready
        self._tidy = tidy
        self._members = [_Member(index) for index in range(len(board.rows))]
        self._waited_for = set(range(len(board.rows)))
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._code: int | None = None

    def run(self) -> int:
        """The exit code: of the signal that ended it, or of the process that could not start."""
        signal.set_wakeup_fd(self._wake_write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._signalled)
        for member in self._members:
            self._start(member)
        while self._code is None or any(member.pid for member in self._members):
            events = self._selector.select(self._timeout())
            self._tidy()
            for key, _ in events:
                # What was handled before in this round may have unregistered this one.
                if (current := self._selector.get_map().get(key.fd)) is not None and current.data is key.data:
                    key.data()
            self._start_again()
        for one in self._held:
            one.close()
        return self._code

    def _timeout(self) -> float | None:
        due = [member.due for member in self._members if member.due is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _start_again(self) -> None:
        for member in self._members:
            if member.due is not None and member.due <= time.monotonic():
                self._start(member)

    def _start(self, member: _Member) -> None:
        read, write = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            forked.leave(lambda: self._become(member.index, write, parent))
        os.close(write)
        member.pid, member.pidfd, member.pipe = pid, os.pidfd_open(pid), read
        member.started, member.due = time.monotonic(), None
        self._selector.register(member.pidfd, selectors.EVENT_READ, lambda: self._ended(member))
        self._selector.register(read, selectors.EVENT_READ, lambda: self._told(member))

    def _become(self, index: int, ready: int, parent: int) -> int:
        """In the forked child: be a process of the server, and end with its parent."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        # Ctrl-C reaches the parent alone, which tells each child once.
        os.setpgid(0, 0)
        forked.end_with(parent)
        self._selector.close()
        for descriptor in (self._wake_read, self._wake_write, *(one.fileno() for one in self._held)):
            os.close(descriptor)
        for member in self._members:
            for descriptor in (member.pidfd, member.pipe):
                if descriptor >= 0:
                    os.close(descriptor)
        return self._serve(index, ready)

    def _told(self, member: _Member) -> None:
        said = os.read(member.pipe, 64)
        self._forget(member.pipe)
        member.pipe = -1
        if said == _READY and self._waited_for:
            self._waited_for.discard(member.index)
            if not self._waited_for:
                log.info("All processes serve", processes=len(self._members))
                self._ready()

    def _ended(self, member: _Member) -> None:
        _, status = os.waitpid(member.pid, 0)
        code, pid, lived = os.waitstatus_to_exitcode(status), member.pid, time.monotonic() - member.started
        self._forget(member.pidfd)
        if member.pipe >= 0:
            self._forget(member.pipe)
        member.pid, member.pidfd, member.pipe = 0, -1, -1
        self._board.rows[member.index].enter(Phase.ABSENT, time.monotonic())
        if self._code is not None:
            return
        if self._waited_for:
            # What keeps one from starting keeps the others too; it has said what that is.
            self._stop(code if code > 0 else 1)
            return
        member.delay = delay_seconds(lived, member.delay)
        member.due = time.monotonic() + member.delay
        log.warn("A process of this server ended and is started again", pid=pid, status=code, seconds=member.delay)

    def _forget(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)

    def _signalled(self) -> None:
        for number in os.read(self._wake_read, 64):
            if number not in (signal.SIGTERM, signal.SIGINT):
                continue
            if self._code is not None:
                self._tell(signal.SIGKILL)
                continue
            log.info("Stopping", signal=signal.Signals(number).name)
            self._stop(128 + number)

    def _stop(self, code: int) -> None:
        self._code = code
        for member in self._members:
            member.due = None
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for member in self._members:
            if member.pid:
                with suppress(ProcessLookupError):
                    os.kill(member.pid, number)

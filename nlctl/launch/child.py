"""From a forked supervisor to an ordinary part: own session, own log, own title, and gone when the supervisor goes."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from typing import Final

from nlserver import forked

from nlctl.launch import journal
from nlctl.launch.roster import Wanted

_PR_SET_NAME: Final = 15
_ARG_START_FIELD: Final = 45
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
READY_FD: Final = "NLSERVER_READY_FD"


def become(wanted: Wanted, log: Path, ready: int, supervisor: int) -> int:
    """Run this member in this process, which was just forked; returns the exit code.

    `ready` is the write end of the pipe that is told once it serves. SIGTERM reaches it when the supervisor dies,
    also by kill -9, so that no part is orphaned.
    """
    separate(supervisor)
    journal.redirect(log)
    entitle(f"nlserver {wanted.config}", short=f"nl:{wanted.name}")
    os.environ[READY_FD] = str(ready)
    from nlserver import app

    manner = app.Manner(
        part=wanted.name,
        processes=wanted.processes,
        admin_socket=Path(wanted.admin_socket) if wanted.admin_socket else None,
        tidy=lambda: journal.rotate(log),
    )
    return app.main([Path(wanted.config)], manner)


def separate(supervisor: int) -> None:
    """Leave the supervisor's session and signals, and be told when it dies; ends this process if it died already."""
    _default_signals()
    os.setsid()
    forked.end_with(supervisor)


def entitle(text: str, *, short: str) -> None:
    """What `ps` shows of this process: the whole command line as far as there is room, and the short name."""
    _LIBC.prctl(_PR_SET_NAME, short.encode()[:15], 0, 0, 0)
    start, end = _argument_area()
    if end - start < 2:
        return
    room = end - start - 1
    ctypes.memmove(start, text.encode()[:room].ljust(room, b"\0") + b"\0", room + 1)


def _argument_area() -> tuple[int, int]:
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[_ARG_START_FIELD]), int(fields[_ARG_START_FIELD + 1])


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())

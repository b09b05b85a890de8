"""Waking an event loop at an instant, to within some tens of microseconds.

The timers of asyncio and uvloop count in milliseconds: at a few thousand calls a second they would start calls in
heaps, and their own lateness would be most of the time that is measured.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from types import TracebackType
from typing import Final, Self

_NANO: Final = 10**9
_ABSOLUTE: Final = 1
_libc = ctypes.CDLL(None, use_errno=True)


class _Spec(ctypes.Structure):
    """struct itimerspec."""

    _fields_ = (
        ("every_s", ctypes.c_long),
        ("every_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class Pacer:
    """A timer of the kernel (timerfd) that one task at a time waits for."""

    def __enter__(self) -> Self:
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = int(_libc.timerfd_create(time.CLOCK_MONOTONIC, flags))
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._due: asyncio.Future[None] | None = None
        asyncio.get_running_loop().add_reader(self._descriptor, self._fired)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    async def until(self, instant: float) -> None:
        """Return at this instant of time.monotonic(), or at once when it has passed."""
        if instant <= time.monotonic():
            return
        seconds, rest = divmod(int(instant * _NANO), _NANO)
        spec = _Spec(0, 0, seconds, rest)
        self._due = asyncio.get_running_loop().create_future()
        _libc.timerfd_settime(self._descriptor, _ABSOLUTE, ctypes.byref(spec), None)
        await self._due

    def _fired(self) -> None:
        os.read(self._descriptor, 8)
        if self._due is not None and not self._due.done():
            self._due.set_result(None)

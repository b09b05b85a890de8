"""Root without the powers that make it blind to permissions, so that tests see what an ordinary user's worker sees."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# linux/capability.h: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, version 3.
_BLIND: Final = 1 << 1 | 1 << 2
_VERSION: Final = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Powers(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def ordinary() -> Iterator[None]:
    """In this thread, permissions hold for root, too. Children get the powers back when they start a program."""
    if os.geteuid() != 0:
        yield
        return
    header, powers = _Header(_VERSION, 0), (_Powers * 2)()
    _checked(_libc.capget(ctypes.byref(header), powers))
    before = powers[0].effective
    powers[0].effective &= ~_BLIND
    _checked(_libc.capset(ctypes.byref(header), powers))
    try:
        yield
    finally:
        powers[0].effective = before
        _checked(_libc.capset(ctypes.byref(header), powers))


def _checked(answer: int) -> None:
    if answer != 0:
        raise OSError(ctypes.get_errno(), "capset")

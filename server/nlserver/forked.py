"""What a process does that was forked from one that goes on: become another, and end with whoever forked it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_BROKEN: Final = 70


def leave(work: Callable[[], int]) -> None:
    """Do this and end the process with its answer, whatever happens; does not return."""
    code = _BROKEN
    try:
        code = work()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def end_with(parent: int) -> None:
    """Be sent SIGTERM when this parent dies, also by kill -9; raises SystemExit if it died already."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(0)

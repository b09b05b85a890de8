"""A run of the fault suite has processes, network and mounts of its own: whatever happens, nothing outlives it.

Everything that the run starts is in one process-id namespace with it, so that whoever lives there and is no part of
the cluster is an orphan, and the kernel ends all of it with its first process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

_NAMESPACES: Final = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
_INSIDE: Final = "FAULTS_INSIDE"


def inside() -> bool:
    """Whether this process was started by `enter`."""
    return os.environ.get(_INSIDE) == "1"


def enter(module: str, arguments: Sequence[str]) -> NoReturn:
    """Become `python -m module arguments` in namespaces of its own. Needs root."""
    os.environ[_INSIDE] = "1"
    command = ["unshare", *_NAMESPACES, sys.executable, "-m", module, *arguments]
    os.execvp(command[0], command)


def first(work: Callable[[], int]) -> NoReturn:
    """As the first process of the namespace: do the work in a child, reap whoever loses its parent, end with it."""
    assert os.getpid() == 1, "this is no namespace of its own"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    worker = os.fork()
    if worker == 0:
        os._exit(work())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(worker, number))
    while True:
        pid, status = os.wait()
        if pid == worker:
            os._exit(max(0, os.waitstatus_to_exitcode(status)) or (1 if status else 0))

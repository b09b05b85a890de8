"""Puts this process, and all that it starts, into a network and a set of mounts of its own.

Configs with fixed ports and absolute paths then collide with nobody: every run has its own loopback interface, and what
it mounts is seen by nobody else and gone with its last process.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path
from typing import Final

_NEW_MOUNTS: Final = 0x00020000
_NEW_NETWORK: Final = 0x40000000


def enter() -> None:
    """Leave the machine's network and mounts behind. Needs root; raises OSError where that is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS | _NEW_NETWORK) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)}: these tests need root, for namespaces of their own")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def bind(source: Path, target: Path) -> None:
    """Let `source` be seen at `target`, which is made when it does not exist."""
    source.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", str(source), str(target)], check=True)


def cover(file: Path, text: str, scratch: Path) -> None:
    """Let `file` read as `text`."""
    scratch.write_text(text)
    subprocess.run(["mount", "--bind", str(scratch), str(file)], check=True)


def binding(source: Path, target: Path, command: list[str]) -> list[str]:
    """`command` in mounts of its own, where `source` is seen at `target`."""
    script = 'mkdir -p "$1" "$2" && mount --bind "$1" "$2" && shift 2 && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(source), str(target), *command]

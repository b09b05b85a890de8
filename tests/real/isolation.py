"""Puts this process, and all that it starts, into a network and a set of mounts of its own.

Configs with fixed ports and absolute paths then collide with nobody: every run has its own loopback interface, and what
it mounts is seen by nobody else and gone with its last process.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def bound(source: Path, target: Path) -> Iterator[None]:
    """Let `source` be seen at `target` meanwhile; folders that are made for it are removed again."""
    source.mkdir(parents=True, exist_ok=True)
    made = [folder for folder in (target, *target.parents) if not folder.exists()]
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", str(source), str(target)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(target)], check=True)
        for folder in made:
            folder.rmdir()


@contextmanager
def covered(file: Path, text: str, scratch: Path) -> Iterator[None]:
    """Let `file` read as `text` meanwhile."""
    scratch.write_text(text)
    subprocess.run(["mount", "--bind", str(scratch), str(file)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(file)], check=True)


def binding(source: Path, target: Path, command: list[str]) -> list[str]:
    """`command` in mounts of its own, where `source` is seen at `target`."""
    source.mkdir(parents=True, exist_ok=True)
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(source), str(target), *command]

"""A wall clock that can be moved under running processes. See clockshift.c."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("clockshift.c")
_BYTES: Final = 8


class Clock:
    """The clock of every process that was started with its `environment`."""

    def __init__(self, folder: Path) -> None:
        """Compile what is preloaded; needs gcc."""
        assert shutil.which("gcc"), "gcc is not installed: run `make test-real`"
        folder.mkdir(parents=True, exist_ok=True)
        library, file = folder / "clockshift.so", folder / "clock"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)], check=True)
        file.write_bytes(bytes(_BYTES))
        with file.open("r+b") as opened:
            self._shift = mmap.mmap(opened.fileno(), _BYTES)
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(library), "CLOCKSHIFT": str(file)}

    def move(self, seconds: float) -> None:
        """Let the clock be so many seconds before (positive) or behind the machine's."""
        self._shift[:] = struct.pack("=q", int(seconds * 1e9))

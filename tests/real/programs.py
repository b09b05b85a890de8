"""Starts this project's programs from the environment that runs the tests, and watches their logs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_BIN: Final = Path(sys.executable).parent
_PATIENCE_SECONDS: Final = 180.0
_LOOK_AGAIN_SECONDS: Final = 0.05


def program(name: str) -> str:
    """The path of `nlctl` or `nlserver`."""
    path = _BIN / name
    assert path.exists(), f"{path} is missing: run `make setup`"
    return str(path)


class Part:
    """A process whose output goes to a log file; leaving the context ends it with SIGTERM and expects it to obey."""

    def __init__(self, name: str, command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=log.parent,
            )

    @property
    def log(self) -> str:
        """Everything that it has said."""
        return self._log.read_text(errors="replace")

    def lines(self, words: str) -> list[str]:
        """The lines of its log with these words, as `grep` finds them."""
        return [line for line in self.log.splitlines() if words in line]

    def wait_for(self, words: str, count: int = 1) -> None:
        """Return when so many lines of its log have these words; asserts that this happens and that it lives on."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while len(self.lines(words)) < count:
            assert self._process.poll() is None, f"{self.name} ended with {self._process.returncode}:\n{self.log}"
            assert time.monotonic() < deadline, f"{self.name} did not say {words!r} {count} times:\n{self.log}"
            time.sleep(_LOOK_AGAIN_SECONDS)

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.name} did not end {_PATIENCE_SECONDS:.0f} s after SIGTERM:\n{self.log}"
            ) from None
        # As NativeLink ends after SIGTERM, and as a shell reports it.
        assert code == 143 or kind is not None, f"{self.name} ended with {code} after SIGTERM:\n{self.log}"

"""The operator's own commands: those that answer property queries, and the one that may hold actions back."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from nlserver import log
from nlserver.errors import Code, Error
from nlserver.worker.runner import Ended, Ending, Runner, Task

_TIMEOUT_SECONDS: Final = 60.0
_MOST_BYTES: Final = 1 << 20


class Commands:
    """Runs commands with a runner; their output passes through files in `directory`, which exists."""

    def __init__(self, runner: Runner, directory: str) -> None:
        self._runner = runner
        self._directory = directory
        self._numbers = itertools.count()

    async def output(self, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
        """What a command prints. Raises Error FAILED_PRECONDITION when it fails, hangs or prints no UTF-8."""
        ended, stdout, stderr = await self._run(arguments, environment)
        if stderr:
            log.warn("A command wrote to its standard error", command=arguments[0], text=_shown(stderr))
        if ended.ending is Ending.TIMED_OUT:
            raise _failed(arguments, f"did not end within {_TIMEOUT_SECONDS:.0f} s")
        if ended.exit_code:
            raise _failed(arguments, f"exited with {ended.exit_code}: {_shown(stderr)}")
        try:
            return stdout.decode()
        except UnicodeDecodeError:
            raise _failed(arguments, "printed bytes that are not UTF-8") from None

    async def permission(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run a precondition. Raises Error RESOURCE_EXHAUSTED, which means "not now", unless it exits with 0."""
        ended, stdout, _ = await self._run(arguments, environment)
        if ended.exit_code or ended.ending is not Ending.EXITED:
            raise Error(
                Code.RESOURCE_EXHAUSTED,
                f"Preconditions script returned status {ended.exit_code} - {_shown(stdout)}",
            )

    async def _run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[Ended, bytes, bytes]:
        number = next(self._numbers)
        stdout, stderr = f"{self._directory}/.command-{number}-out", f"{self._directory}/.command-{number}-err"
        try:
            ended = await self._runner.run(
                Task(arguments, environment, self._directory, stdout, stderr, _TIMEOUT_SECONDS)
            )
            return ended, _content(stdout), _content(stderr)
        finally:
            for path in (stdout, stderr):
                with suppress(FileNotFoundError):
                    os.unlink(path)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MOST_BYTES)


def _shown(output: bytes) -> str:
    return output.decode(errors="replace").strip()[:1000]


def _failed(arguments: Sequence[str], how: str) -> Error:
    return Error(Code.FAILED_PRECONDITION, f"the command {' '.join(arguments)!r} {how}")

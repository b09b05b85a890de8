"""How the process of an action runs. The kinds stand in `runners/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Ending(StrEnum):
    """Why a process is no more."""

    EXITED = "exited"
    NOT_STARTED = "not started"
    TIMED_OUT = "timed out"
    TOO_LOUD = "too loud"


@dataclass(frozen=True)
class Task:
    """One process to run.

    `directory` is its working directory; a relative program with a slash is found from there, a bare name through
    the PATH of `environment` (REAPI v2, Command.arguments). Output goes to new files at the two paths; standard
    input is empty. The environment is exactly the one given.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    stdout: str
    stderr: str
    timeout_seconds: float


@dataclass(frozen=True)
class Usage:
    """What the process and the children it waited for used: CPU seconds of all, resident KiB of the largest."""

    cpu_seconds: float = 0.0
    peak_memory_kib: int = 0


@dataclass(frozen=True)
class Ended:
    """A process that is no more, and nothing that it started either.

    `exit_code` is 128 + n after signal n, 126 or 127 when the program could not be started; then the reason stands in
    the stderr file.
    """

    exit_code: int
    ending: Ending = Ending.EXITED
    usage: Usage = Usage()


class Runner(Protocol):
    """Runs processes, many at a time."""

    async def run(self, task: Task) -> Ended:
        """Run to the end, or to the time limit. Being cancelled kills the process and everything it started first.

        Raises Error INVALID_ARGUMENT where the kernel refuses the arguments, and RESOURCE_EXHAUSTED where this
        machine has no room for another process.
        """
        ...

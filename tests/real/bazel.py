"""Runs Bazel as a person does, and reads what it says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from tests.real.workspace import Workspace

_LONGEST_RUN_SECONDS: Final = 900


@dataclass(frozen=True)
class Run:
    """What one run of Bazel came to."""

    code: int
    text: str

    @property
    def processes(self) -> Mapping[str, int]:
        """How many actions ran where, by Bazel's own words: `remote`, `remote cache hit`, `internal`, `local`."""
        summaries = re.findall(r"^INFO: \d+ process(?:es)?: (.*)\.$", self.text, re.MULTILINE)
        assert summaries, f"Bazel counted no processes:\n{self.text[-4000:]}"
        parts = (part.split(" ", 1) for part in summaries[-1].split(", "))
        return {where: int(count) for count, where in parts}

    @property
    def passed(self) -> int:
        """How many tests passed."""
        return len(re.findall(r"^//\S+ +(?:\(cached\) )?PASSED", self.text, re.MULTILINE))


class Bazel:
    """One workspace and its Bazel server, whose state stands below `state`."""

    def __init__(self, workspace: Workspace, state: Path) -> None:
        self.workspace = workspace
        self._start = ["bazel", f"--output_user_root={state}"]

    def command(self, *arguments: str) -> list[str]:
        """The words that run it, in the workspace."""
        return [*self._start, *arguments]

    def run(self, *arguments: str, code: int = 0) -> Run:
        """Run to the end; asserts the exit code (0 good, 1 build failed, 3 tests failed)."""
        ended = subprocess.run(
            self.command(*arguments),
            cwd=self.workspace.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LONGEST_RUN_SECONDS,
            check=False,
        )
        assert ended.returncode == code, (
            f"bazel {' '.join(arguments)} ended with {ended.returncode}:\n{ended.stdout[-8000:]}"
        )
        return Run(ended.returncode, ended.stdout)

    def start(self, *arguments: str, output: IO[str]) -> subprocess.Popen[str]:
        """Run while the caller does something else."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.workspace.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def clean(self) -> None:
        """Forget every output and every cached action, but not the loaded packages."""
        self.run("clean")

    def shutdown(self) -> None:
        """End the server."""
        self.run("shutdown")

    def output(self, path: str) -> Path:
        """Where an output file stands, such as `app/main0`."""
        return self.workspace.root / "bazel-bin" / path

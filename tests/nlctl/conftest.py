"""Running the real `nlctl` with a state directory of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.nlctl import forks
from tests.nlctl.documents import valid

PROGRAM = Path(sys.executable).with_name("nlctl")
LIMIT = 120


@dataclass
class Done:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def fault(self) -> Any:
        """The error line of `-o json`."""
        return json.loads(self.err.splitlines()[-1])


@dataclass
class Cli:
    """The `nlctl` of one user: a home of its own."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    limit: int = LIMIT

    @property
    def state(self) -> Path:
        """Where this user's state is."""
        return self.home / "state" / "nlctl"

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command that listens to Ctrl-C, though a shell may have started these tests in the background."""

        def listening() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

        return subprocess.Popen([PROGRAM, *words], env=self._all(), cwd=self.home, preexec_fn=listening, **options)

    def __call__(
        self,
        *words: str,
        code: int | None = 0,
        given: str | bytes = b"",
        folder: Path | None = None,
        **environment: str,
    ) -> Done:
        """Run a command to its end; `code` is what it must exit with, None for anything; `folder` where it is given."""
        data = given.encode() if isinstance(given, str) else given
        around = {**self._all(), **environment}
        ended, out, err = forks.run(PROGRAM, words, around, folder or self.home, data, self.limit)
        done = Done(ended, out.decode(errors="surrogateescape"), err.decode(errors="replace"))
        assert code is None or done.code == code, f"{words} ended with {done.code}\n{done.out}\n{done.err}"
        return done

    def _all(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NLCTL_", "XDG_", "NL_"))}
        return {**kept, "HOME": str(self.home), "XDG_STATE_HOME": str(self.home / "state"), **self.environment}


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A running cluster of two workers, shared by a module's tests; they leave it as it was."""
    made = Cli(tmp_path_factory.mktemp("home"))
    made("up", "--workers", "2", "--base-port", "auto")
    yield made
    made("down", "--all", "--wipe", "--yes", code=None)


def until(look: Callable[[], Any], seconds: float = LIMIT) -> Any:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
    raise AssertionError("it never came")


def items(cli: Cli, *words: str, code: int | None = 0) -> list[dict[str, Any]]:
    """The items of a list, whose document is as its schema says."""
    found: list[dict[str, Any]] = valid(cli(*words, "-o", "json", code=code).document)["items"]
    return found


@pytest.fixture
def held(cluster: Cli, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """An action that runs on worker-1 until a file is made, and that file."""
    gate = tmp_path / "gate"
    command = f"while [ ! -e {gate} ]; do sleep 0.05; done; echo passed"
    running = cluster.popen(
        *("run", "--no-cache", "--platform", "nlctl-worker=worker-1", "--", "/bin/sh", "-c", command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until(lambda: items(cluster, "ops", "ls", "--state", "executing"))
    yield running, gate
    gate.touch()
    running.communicate(timeout=LIMIT)
    until(lambda: not items(cluster, "ops", "ls"))

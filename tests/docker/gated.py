"""A part of a build that waits in its middle until it is told to go on: time to do something to the cluster."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from docker.models.containers import Container

from tests.docker.compose import until
from tests.real.bazel import Bazel, Run
from tests.real.workspace import rule

_SHARED: Final = "/data"
"""Every worker of a cluster mounts it, and its actions see it."""
EACH: Final = 12
"""How many actions a row has."""
_LIMIT: Final = 900


class Gated:
    """The package `//NAME`: a row of actions, one that runs until its gate is open, and as many that need it.

    What each makes is the name of the host that it ran on.
    """

    def __init__(self, bazel: Bazel, name: str, *, first: str = "true", worker: str = "") -> None:
        """The action at the gate does `first` before it waits, on this worker if one is named."""
        self.name = name
        self._bazel = bazel
        before, after = self._row("before"), self._row("after")
        waits = f"({first}); until test -e {self._key}; do sleep 0.1; done"
        aimed = {"exec_properties": {"nlctl-worker": worker}} if worker else {}
        lines = [
            *(self._rule(one, "sleep 0.1") for one in before),
            self._rule("gate", waits, srcs=before, **aimed),
            *(self._rule(one, "sleep 0.2", srcs=["gate"]) for one in after),
        ]
        self._folder = bazel.workspace.root / name
        self._folder.mkdir()
        (self._folder / "BUILD").write_text("".join(lines))

    def remove(self) -> None:
        """Take it out of the project again: elsewhere nobody opens the gate."""
        shutil.rmtree(self._folder)

    @property
    def _key(self) -> str:
        return f"{_SHARED}/{self.name}"

    def _row(self, when: str) -> list[str]:
        return [f"{when}{number}" for number in range(EACH)]

    def _rule(self, name: str, command: str, **attributes: object) -> str:
        # The name makes it an action that no cluster has seen.
        told = f"echo {self.name} {name} >/dev/null; {command}; hostname > $@"
        return rule("genrule", name, outs=[f"{name}.txt"], cmd=told, **attributes)

    def open(self, container: Container) -> None:
        """Let the build go on; the container is any that runs."""
        code, said = container.exec_run(["touch", self._key])
        assert code == 0, said

    def hosts(self, when: str) -> set[str]:
        """Where the actions `before` or `after` the gate ran, or that at the `gate`."""
        names = [when] if when == "gate" else self._row(when)
        return {self._bazel.output(f"{self.name}/{one}.txt").read_text().strip() for one in names}


class Building:
    """A Bazel that runs."""

    def __init__(self, running: subprocess.Popen[str], said: Path) -> None:
        self._running = running
        self._said = said

    def done(self) -> Run:
        """What it came to, which is success."""
        code = self._running.wait(_LIMIT)
        text = self._said.read_text()
        assert code == 0, text
        return Run(code, text)

    def until(self, look: Callable[[], bool]) -> None:
        """Return once this holds, or Bazel gave up."""
        until(lambda: self._running.poll() is not None or look())


@contextmanager
def building(bazel: Bazel, folder: Path, *words: str) -> Iterator[Building]:
    """A Bazel that is ended at the end, whatever it does then."""
    said = folder / "bazel.log"
    with said.open("w") as output:
        running = bazel.start(*words, output=output)
        try:
            yield Building(running, said)
        finally:
            running.terminate()
            running.wait(_LIMIT)

"""How long `nlctl doctor` takes with five workers, and whether it is silent of a cluster that is well.

    .venv/bin/python tests/bench/doctor.py [RUNS]

Runs beside nothing, beside a Bazel build that runs everything anew, and with an endpoint that takes connections and
never answers. `make test-real` installs Bazel. Whatever a run says of a cluster that is well is shown: it is a false
alarm. Statements 9 and 45.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from finding import HEAD, Finding, figure, note, show
from proof import Cluster

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.real.bazel import Bazel
from tests.real.workspace import Workspace

_NLCTL: Final = Path(sys.executable).with_name("nlctl")
_WORKERS: Final = 5
_MOST_SECONDS: Final = 5.0
_MOST_SECONDS_DEAD: Final = 8.0
_DEAD_RUNS: Final = 5
_WHAT: Final = ("//src/...", "//app/...")


@dataclass
class Runs:
    """What some runs came to: seconds, and how often each check said something bad."""

    seconds: list[float] = field(default_factory=list)
    alarms: Counter[str] = field(default_factory=Counter)

    def add(self, environment: Mapping[str, str], *words: str) -> None:
        """Run it once more."""
        begin = time.perf_counter()
        command = [_NLCTL, *words, "-o", "json"]
        ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        self.seconds.append(time.perf_counter() - begin)
        for one in json.loads(ran.stdout)["items"]:
            if one["status"] in ("failed", "warning", "unknown"):
                self.alarms[f"{one['status']} {one['id']}: {one['what']}"] += 1

    def show(self, what: str, most: float | None) -> None:
        """Print the time, and that nothing was wrong."""
        show(figure(f"nlctl doctor, {what}", self.seconds, "s", most=most))

    def show_silence(self, what: str) -> None:
        """Print the alarms, of which there should be none."""
        count = sum(self.alarms.values())
        runs = len(self.seconds)
        show(Finding(f"nlctl doctor, {what}: alarms in {runs} runs", str(count), "none", count == 0))
        for text, times in self.alarms.most_common():
            note(f"{times} times {text}")


def main(runs: int = 50) -> None:
    """All three."""
    print(HEAD)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        environment = {**os.environ, **{f"XDG_{kind}_HOME": scratch for kind in ("STATE", "CONFIG", "CACHE")}}
        environment["HOME"] = scratch
        cluster = Cluster(home)
        environment |= {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("STATE", "CONFIG", "CACHE")}
        cluster.up(_WORKERS)
        try:
            alone = Runs()
            for _ in range(runs):
                alone.add(environment, "doctor")
            alone.show("5 workers", _MOST_SECONDS)
            alone.show_silence("5 workers")
            beside = Runs()
            with _building(cluster, home):
                for _ in range(runs):
                    beside.add(environment, "doctor")
            beside.show("5 workers, beside a Bazel build", None)
            beside.show_silence("beside a Bazel build")
            _dead(cluster, environment)
        finally:
            cluster.down("--wipe")


def _dead(cluster: Cluster, environment: Mapping[str, str]) -> None:
    """An endpoint that never answers, and a part of the cluster that hangs."""
    dead, hanging = Runs(), Runs()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for _ in range(_DEAD_RUNS):
            dead.add(environment, "--endpoint", f"grpc://127.0.0.1:{silent.getsockname()[1]}", "doctor")
    dead.show("an endpoint that never answers", _MOST_SECONDS_DEAD)
    parts = {one["name"]: one["pid"] for one in json.loads(cluster.nlctl("ps", "-o", "json"))["items"]}
    os.kill(parts["cas"], signal.SIGSTOP)
    try:
        for _ in range(_DEAD_RUNS):
            hanging.add(environment, "doctor")
    finally:
        os.kill(parts["cas"], signal.SIGCONT)
    hanging.show("5 workers, and a CAS that hangs", _MOST_SECONDS_DEAD)
    for one in (dead, hanging):
        for text, times in one.alarms.most_common():
            note(f"{times} times {text}")


@contextmanager
def _building(cluster: Cluster, home: Path) -> Iterator[None]:
    """Bazel builds everything on the cluster, again and again, without the results of the time before."""
    workspace = Workspace(home / "workspace")
    workspace.write()
    bazel = Bazel(workspace, home / "bazel")
    workspace.cluster(cluster.bazelrc(_WORKERS))
    words = ("build", "--noremote_accept_cached", *_WHAT)
    bazel.run(*words)
    loop = " && ".join(
        [" ".join(map(str, bazel.command("clean"))), " ".join(map(str, bazel.command(*words)))],
    )
    script = f"while {loop}; do :; done"
    with (home / "bazel.log").open("w") as log:
        building = subprocess.Popen(
            ["/bin/sh", "-c", script], cwd=workspace.root, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
            assert building.poll() is None, f"the build ended:\n{(home / 'bazel.log').read_text()[-2000:]}"
        finally:
            os.killpg(building.pid, signal.SIGTERM)
            building.wait()
            bazel.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""Measures what the cluster promises: how long up and down take, an idle worker's own memory, help, and no-op actions.

    .venv/bin/python tests/bench/proof.py
    .venv/bin/python tests/bench/proof.py nlctl:0.1.0

The cluster is a real one, with its state in a scratch folder and on free ports. Nothing is asserted. With an image that
`nlctl image build` made, its parts are containers of it, and how long up and down take is measured alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import uvloop
from finding import figure, memory_mib, show
from nlserver import grpc_environment

_NLCTL: Final = Path(sys.executable).parent / "nlctl"
_REPEATS: Final = 5
_ACTIONS: Final = 500
_AT_A_TIME: Final = 32


class Cluster:
    """Clusters of one name in a scratch folder."""

    def __init__(self, home: Path, image: str = "") -> None:
        self._backend = ("--backend", "docker", "--image", image) if image else ()
        self._environment: Mapping[str, str] = {
            **os.environ,
            **{f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("STATE", "CONFIG", "CACHE")},
        }

    def nlctl(self, *arguments: str) -> str:
        """What the command prints; raises CalledProcessError when it fails."""
        ended = subprocess.run(
            [_NLCTL, "-q", *arguments], env=self._environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return ended.stdout

    def bazelrc(self, jobs: int) -> str:
        """The lines that let Bazel build on it, so many actions at a time."""
        lines = json.loads(self.nlctl("bazelrc", "-o", "json"))["item"]["lines"]
        return "\n".join([*lines, f"build --config=nl --jobs={jobs}", ""])

    def up(self, workers: int) -> tuple[float, dict[str, Any]]:
        """Seconds until every worker ran its canary, and what `nlctl up` says."""
        begin = time.perf_counter()
        words = ("up", *self._backend, "--workers", str(workers), "--base-port", "auto", "--wait-timeout", "5m")
        said = self.nlctl(*words, "-o", "json")
        return time.perf_counter() - begin, json.loads(said)["item"]

    def until_first_line(self) -> float:
        """Milliseconds until `nlctl up` of a cluster that is down says anything; then it is up."""
        begin = time.perf_counter()
        command = [_NLCTL, "up", "--base-port", "auto"]
        with subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as up:
            assert up.stderr is not None
            up.stderr.read(1)
            took = (time.perf_counter() - begin) * 1000
            up.stderr.read()
        return took

    def down(self, *options: str) -> None:
        """Stop it."""
        self.nlctl("down", "--yes", *options)


def measure_help() -> None:
    """The time of `nlctl --help`."""
    times = []
    for _ in range(_REPEATS * 2):
        begin = time.perf_counter()
        subprocess.run([_NLCTL, "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append((time.perf_counter() - begin) * 1000)
    show(figure("nlctl --help", times, "ms"))


def measure_up(cluster: Cluster) -> None:
    """The time of `nlctl up --workers 5`, and what its idle workers hold."""
    times, memory, again, downs, lines = [], [], [], [], []
    for repeat in range(_REPEATS + 1):
        took, _ = cluster.up(5)
        if repeat == 0:
            show(figure("nlctl up --workers 5, first time ever", [took], "s"))
        else:
            times.append(took)
        parts = json.loads(cluster.nlctl("ps", "-o", "json"))["items"]
        memory += [memory_mib(part["pid"]) for part in parts if part["name"].startswith("worker-")]
        took, said = cluster.up(5)
        assert not said["changed"]
        again.append(took)
        begin = time.perf_counter()
        cluster.down()
        downs.append(time.perf_counter() - begin)
        lines.append(cluster.until_first_line())
        cluster.down()
    show(figure("nlctl up --workers 5, to a canary on every worker", times, "s", most=3.0))
    show(figure("nlctl up, to its first line", lines, "ms", most=200.0))
    show(figure("nlctl up again, with nothing to do", again, "s", most=1.0))
    show(figure("nlctl down of five idle workers", downs, "s", most=2.0))
    show(figure("an idle worker: PSS", memory, "MiB", most=20.0))


def measure_containers(cluster: Cluster) -> None:
    """The same of containers, whose engine has their image already."""
    times, again, downs = [], [], []
    for repeat in range(_REPEATS + 1):
        took, _ = cluster.up(5)
        if repeat:
            times.append(took)
        took, said = cluster.up(5)
        assert not said["changed"]
        again.append(took)
        begin = time.perf_counter()
        cluster.down()
        downs.append(time.perf_counter() - begin)
    show(figure("nlctl up --backend docker --workers 5, to a canary on every worker", times, "s", most=10.0))
    show(figure("nlctl up again, with nothing to do", again, "s", most=1.0))
    show(figure("nlctl down of five idle workers", downs, "s"))


async def measure_actions(endpoints: Mapping[str, str]) -> None:
    """Actions that run `true` and are never cached, from one client."""
    from nlserver.reapi.client import Client

    async with Client(cas=endpoints["cas"], executor=endpoints["scheduler"]) as client:
        gate = asyncio.Semaphore(_AT_A_TIME)

        async def one(number: int) -> None:
            async with gate:
                outcome = await client.run(["/bin/true"], salt=str(number).encode())
                assert outcome.exit_code == 0
                assert not outcome.cached

        await asyncio.gather(*(one(-1 - number) for number in range(_AT_A_TIME)))
        rates = []
        for repeat in range(3):
            begin = time.perf_counter()
            await asyncio.gather(*(one(repeat * _ACTIONS + number) for number in range(_ACTIONS)))
            rates.append(_ACTIONS / (time.perf_counter() - begin))
        what = f"no-op actions from the client library, 4 workers, {_AT_A_TIME} at a time"
        show(figure(what, rates, "actions/s", least=200.0))
        times = []
        for number in range(100):
            begin = time.perf_counter()
            await one(1_000_000 + number)
            times.append((time.perf_counter() - begin) * 1000)
        show(figure("one no-op action after the other", times, "ms", most=12.0))


def main() -> None:
    """Everything, in one scratch folder."""
    grpc_environment.prepare(os.environ)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    image = sys.argv[1] if len(sys.argv) > 1 else ""
    with tempfile.TemporaryDirectory() as scratch:
        cluster = Cluster(Path(scratch), image)
        try:
            if image:
                measure_containers(cluster)
                return
            measure_help()
            measure_up(cluster)
            _, said = cluster.up(4)
            uvloop.run(measure_actions(said["endpoints"]))
        finally:
            cluster.down("--wipe")


if __name__ == "__main__":
    main()

"""Runs one large Bazel workspace on our cluster and on buildbox-casd 1.3.11 (C++) as a server, in turn, cold and warm.

    make bench-bazel                                           (as root: the clients are installed, a network is made)
    .venv/bin/python -m tests.bench.bazel.side_by_side --rounds 3 --scale 1.0 --jobs 32 --json out.json

Each round starts each server with nothing in it. `cold` runs every action on the server; `warm` finds all of them in
the cache after `bazel clean`; `minimal` too, but leaves outputs there; `upload` runs actions on this machine and fills
the cache; `download` is a clean build out of that. Seconds are the wall's; processor time is that of the server's own
processes, of the actions with what the server starts around them, and of Bazel. The order of the servers alternates
from round to round. Round 0 is a rehearsal, in which Bazel's own code gets warm: it is shown and not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple

import grpc

from tests.bench.bazel.workspace import LargeWorkspace, Scale
from tests.real import isolation
from tests.real.bazel import Bazel
from tests.real.conftest import BUILDBOX
from tests.real.programs import program

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_HOST_FOLDERS: Final = ("/bin", "/lib", "/lib64", "/usr", "/etc")
_CASD: Final = "127.0.0.1:50951"
_PHASES: Final = {
    "cold": ["test", "//..."],
    "warm": ["test", "//..."],
    "minimal": ["test", "//...", "--remote_download_minimal"],
    "upload": ["test", "//...", "--config=here"],
    "download": ["test", "//...", "--config=here"],
}


@dataclass(frozen=True)
class Endpoint:
    """A running server: what Bazel is told, and the process from which all others of it descend."""

    executor: str
    cache: str
    root: int


@dataclass(frozen=True)
class Measured:
    """One build."""

    server: str
    phase: str
    round: int
    seconds: float
    server_cpu: float
    actions_cpu: float
    bazel_cpu: float
    processes: Mapping[str, int]


@contextmanager
def ours(folder: Path) -> Iterator[Endpoint]:
    """`nlctl up` with what it does by default."""
    state = {name: str(folder / name) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    environment = {**os.environ, **state}

    def nlctl(*arguments: str) -> str:
        command = [program("nlctl"), *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    try:
        endpoints = json.loads(nlctl("up", "--cas-size", "40gb", "-o", "json"))["item"]["endpoints"]
        part = json.loads(nlctl("ps", "-o", "json"))["items"][0]["pid"]
        yield Endpoint(endpoints["scheduler"], endpoints["cas"], _parent(part))
    finally:
        nlctl("down", "--wipe", "--yes")


@contextmanager
def casd(folder: Path) -> Iterator[Endpoint]:
    """buildbox-casd with an execution service; its runner shows the actions this machine's programs."""
    runner = [f"--runner-arg=--bind-mount={each}:{each}" for each in _HOST_FOLDERS if Path(each).exists()]
    command = [BUILDBOX / "buildbox-casd", f"--bind={_CASD}", f"--buildbox-run={BUILDBOX / 'buildbox-run'}"]
    with (folder / "casd.log").open("wb") as log:
        # Each of its jobs is a sandbox; more of them than cores by a few hide what each waits for.
        slots = f"--jobs={(os.cpu_count() or 1) + 2}"
        process = subprocess.Popen([*command, *runner, slots, folder / "cache"], stdout=log, stderr=log)
    try:
        with grpc.insecure_channel(_CASD) as waiting:
            grpc.channel_ready_future(waiting).result(timeout=20)
        yield Endpoint(f"grpc://{_CASD}", f"grpc://{_CASD}", process.pid)
    finally:
        process.kill()
        process.wait()


_SERVERS: Final = {"nlctl": ours, "casd 1.3.11": casd}


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


class Spent(NamedTuple):
    """Processor seconds of a server's own processes, and of those that they started, waited for and are gone."""

    own: float
    children: float

    def since(self, before: Spent) -> Spent:
        """What was spent from then on."""
        return Spent(self.own - before.own, self.children - before.children)


def spent(root: int) -> Spent:
    """What a process and all that descend from it have spent so far."""
    stats: dict[int, list[str]] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(FileNotFoundError, ProcessLookupError):
            stats[int(entry)] = _stat(int(entry))
    children: dict[int, list[int]] = {}
    for pid, fields in stats.items():
        children.setdefault(int(fields[1]), []).append(pid)
    row, own, gone = [root], 0, 0
    while row:
        pid = row.pop()
        user, system, children_user, children_system = map(int, stats[pid][11:15])
        own += user + system
        gone += children_user + children_system
        row += children.get(pid, [])
    return Spent(own / _TICKS, gone / _TICKS)


class Comparison:
    """One workspace, one Bazel, and the servers in turn."""

    def __init__(self, bazel: Bazel, jobs: int) -> None:
        self._bazel = bazel
        self._jobs = jobs
        self._jvm = int(bazel.run("info", "server_pid").text.split()[-1])
        self.measured: list[Measured] = []

    def round(self, number: int, servers: Sequence[str], phases: Sequence[str]) -> None:
        """Each server once, in this order."""
        for server in servers:
            for together in (["cold", "warm", "minimal"], ["upload", "download"]):
                wanted = [phase for phase in together if phase in phases]
                if not wanted:
                    continue
                with tempfile.TemporaryDirectory() as scratch, _SERVERS[server](Path(scratch)) as endpoint:
                    self._tell(endpoint)
                    for phase in [together[0], *(phase for phase in wanted if phase != together[0])]:
                        self._measure(server, phase, number, endpoint)

    def _tell(self, endpoint: Endpoint) -> None:
        self._bazel.workspace.cluster(
            f"build --remote_executor={endpoint.executor}\nbuild --remote_cache={endpoint.cache}\n"
            f"build --spawn_strategy=remote\nbuild --jobs={self._jobs}\nbuild --remote_timeout=600\n"
            "build:here --remote_executor=\nbuild:here --spawn_strategy=local\n"
        )

    def _measure(self, server: str, phase: str, number: int, endpoint: Endpoint) -> None:
        self._bazel.clean()
        before, of_bazel, began = spent(endpoint.root), spent(self._jvm), time.monotonic()
        run = self._bazel.run(*_PHASES[phase])
        seconds = time.monotonic() - began
        own, actions = spent(endpoint.root).since(before)
        bazel = sum(spent(self._jvm).since(of_bazel))
        made = Measured(server, phase, number, seconds, own, actions, bazel, run.processes)
        self.measured.append(made)
        print(
            f"round {number}  {server:<12} {phase:<9} {seconds:7.1f} s   processor: server {own:6.1f} s, "
            f"actions {actions:6.1f} s, Bazel {bazel:6.1f} s   {dict(run.processes)}",
            flush=True,
        )


def table(measured: Sequence[Measured]) -> Iterator[str]:
    """Medians, and how ours compares: below 1 is faster."""
    columns = {"wall s": ("seconds",), "server's s": ("server_cpu",), "with actions' s": ("server_cpu", "actions_cpu")}
    yield f"{'phase':<10}" + "".join(f"{title:>22}{'ratio':>8}" for title in columns)
    for phase in dict.fromkeys(each.phase for each in measured):
        row = f"{phase:<10}"
        for figures in columns.values():
            of_ours, theirs = (_median(measured, server, phase, figures) for server in _SERVERS)
            row += f"{of_ours:>11.1f} :{theirs:>9.1f}{of_ours / theirs:>8.2f}"
        yield row


def _median(measured: Sequence[Measured], server: str, phase: str, figures: Sequence[str]) -> float:
    builds = [each for each in measured if (each.server, each.phase) == (server, phase)]
    return statistics.median(sum(getattr(build, figure) for figure in figures) for build in builds)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--scale", type=float, default=1.0, help="of 2,480 targets")
    arguments.add_argument("--jobs", type=int, default=32)
    arguments.add_argument("--phases", nargs="+", choices=_PHASES, default=list(_PHASES))
    arguments.add_argument("--json", type=Path, help="also write every build to this file")
    chosen = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    isolation.enter()
    folder = Path(tempfile.mkdtemp(prefix="side-by-side-"))
    workspace = LargeWorkspace(folder / "workspace", Scale.by(chosen.scale))
    workspace.write()
    bazel = Bazel(workspace, folder / "bazel")
    try:
        bazel.run("build", "--nobuild", "//...")
        comparison = Comparison(bazel, chosen.jobs)
        for number in range(chosen.rounds + 1):
            order = list(_SERVERS) if number % 2 == 0 else list(_SERVERS)[::-1]
            comparison.round(number, order, chosen.phases)
    finally:
        bazel.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{workspace.targets} targets, {chosen.jobs} jobs, {os.cpu_count()} cores; medians of {chosen.rounds}")
    print("nlctl : casd")
    for line in table([each for each in comparison.measured if each.round]):
        print(line)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(each) for each in comparison.measured], indent=1))


if __name__ == "__main__":
    sys.exit(main())

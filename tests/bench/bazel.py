"""The same Bazel build on this machine alone and on a cluster of three workers, with as many slots.

    .venv/bin/python tests/bench/bazel.py [SLOTS [ROUNDS]]

Needs Bazel and a C compiler. Every action runs in every round; the first round on the cluster uploads every source.
Nothing is asserted.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from budget import Used, used
from proof import Cluster

from tests.real.bazel import Bazel
from tests.real.workspace import COMPILATIONS, Workspace

_TARGETS = ("//src/...", "//cpp/...", "//app/...", "//check/...", "//gen/...")
_LOCAL = ("--spawn_strategy=local",)
_REMOTE = ("--spawn_strategy=remote", "--noremote_accept_cached")


def spent(parts: Mapping[str, int]) -> dict[str, Used]:
    """What Bazel and each kind of part used so far."""
    found: dict[str, Used] = {}
    for name, pid in parts.items():
        found.setdefault(name.partition("-")[0], Used()).add(used(pid))
    return found


def build(bazel: Bazel, parts: Mapping[str, int], what: str, *options: str) -> tuple[float, float]:
    """Build everything anew; print and answer its seconds, and its seconds of processor time."""
    bazel.clean()
    before, begun = spent(parts), time.perf_counter()
    run = bazel.run("build", *_TARGETS, *options)
    took = time.perf_counter() - begun
    after = spent(parts)
    rows = {name: after[name].add(before[name], -1) for name in after}
    total = sum(row.own + row.children for row in rows.values())
    shown = ", ".join(f"{name} {row.own:.2f}+{row.children:.2f}" for name, row in rows.items() if row.own > 0.05)
    print(f"{what:<16} {took:6.2f} s, processor {total:6.2f} s (own+children: {shown}); {dict(run.processes)}")
    return took, total


def main() -> None:
    """Alternate, so that both meet the same machine."""
    slots, rounds = (*map(int, sys.argv[1:]), *(3, 3)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as scratch:
        project = Workspace(Path(scratch) / "project")
        project.write()
        bazel, cluster = Bazel(project, Path(scratch) / "bazel"), Cluster(Path(scratch))
        try:
            endpoints = cluster.up(3)[1]["endpoints"]
            items = json.loads(cluster.nlctl("ps", "-o", "json"))["items"]
            bazel.run("build", "--nobuild", *_TARGETS)
            server = int(bazel.run("info", "server_pid").text.splitlines()[-1])
            parts = {"bazel": server, **{part["name"]: part["pid"] for part in items}}
            print(f"{COMPILATIONS} compilations and more, {slots} slots, {os.cpu_count()} cores")
            local = (*_LOCAL, f"--jobs={slots}")
            ends = (f"--remote_executor={endpoints['scheduler']}", f"--remote_cache={endpoints['cas']}")
            remote = (*_REMOTE, f"--jobs={slots}", *ends)
            build(bazel, parts, "warm-up, local", *local)
            build(bazel, parts, "first, cluster", *remote)
            times = [
                (build(bazel, parts, "local", *local), build(bazel, parts, "cluster", *remote)) for _ in range(rounds)
            ]
        finally:
            bazel.shutdown()
            cluster.down("--wipe")
        for place, what in enumerate(("time", "processor time")):
            alone, shared = (min(pair[where][place] for pair in times) for where in (0, 1))
            print(f"{what}: cluster {shared:.2f} s / local {alone:.2f} s = {shared / alone:.2f}")


if __name__ == "__main__":
    main()

"""What a Bazel build costs each process, in seconds of processor time: locally, on a new cluster, and there once more.

    .venv/bin/python tests/bench/bazel_budget.py [SLOTS [ROUNDS]]

Needs Bazel and a C compiler. Every action runs in every build. A new cluster gets every source and has no input at
hand; the build after it finds all of that. Nothing is asserted. `bazel_build.py` measures time.
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


def spent(parts: Mapping[str, int]) -> dict[str, Used]:
    """What Bazel and each kind of part used so far."""
    found: dict[str, Used] = {}
    for name, pid in parts.items():
        found.setdefault(name.partition("-")[0], Used()).add(used(pid))
    return found


def build(bazel: Bazel, parts: Mapping[str, int], what: str, *options: str) -> float:
    """Build everything anew; print and answer its seconds of processor time."""
    bazel.clean()
    before, begun = spent(parts), time.perf_counter()
    run = bazel.run("build", *_TARGETS, *options)
    took, after = time.perf_counter() - begun, spent(parts)
    rows = {name: after[name].add(before[name], -1) for name in after}
    total = sum(row.own + row.children for row in rows.values())
    shown = ", ".join(f"{name} {row.own:.2f}" for name, row in rows.items())
    children = sum(row.children for row in rows.values())
    actions = sum(count for where, count in run.processes.items() if where in ("remote", "local"))
    print(f"{what:<18} {took:7.2f} s, processor {total:6.2f} s: {shown}, {actions} actions {children:.2f}", flush=True)
    return total


def on_cluster(home: Path, bazel: Bazel, server: int, slots: int) -> tuple[float, float]:
    """On a new cluster of three workers, and then there again."""
    home.mkdir()
    cluster = Cluster(home)
    try:
        endpoints = cluster.up(3)[1]["endpoints"]
        items = json.loads(cluster.nlctl("ps", "-o", "json"))["items"]
        parts = {"bazel": server, **{part["name"]: part["pid"] for part in items}}
        ends = (f"--remote_executor={endpoints['scheduler']}", f"--remote_cache={endpoints['cas']}")
        options = ("--spawn_strategy=remote", "--noremote_accept_cached", f"--jobs={slots}", *ends)
        return build(bazel, parts, "new cluster", *options), build(bazel, parts, "cluster again", *options)
    finally:
        cluster.down("--wipe")


def main() -> None:
    """All kinds in turns, after a warm-up of Bazel."""
    slots, rounds = (*map(int, sys.argv[1:]), *(3, 2)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as scratch:
        project = Workspace(Path(scratch) / "project")
        project.write()
        bazel = Bazel(project, Path(scratch) / "bazel")
        try:
            bazel.run("build", "--nobuild", *_TARGETS)
            server = int(bazel.run("info", "server_pid").text.splitlines()[-1])
            print(f"{COMPILATIONS} compilations and more, {slots} slots, {os.cpu_count()} cores")
            times = []
            for number in range(rounds + 1):
                alone = build(bazel, {"bazel": server}, "local", "--spawn_strategy=local", f"--jobs={slots}")
                times.append((alone, *on_cluster(Path(scratch) / f"cluster-{number}", bazel, server, slots)))
        finally:
            bazel.shutdown()
    alone, new, again = (min(row[column] for row in times[1:]) for column in range(3))
    print(f"processor time, without the first round: new cluster {new / alone:.2f}, again {again / alone:.2f} of local")


if __name__ == "__main__":
    main()

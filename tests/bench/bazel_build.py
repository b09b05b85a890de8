"""A real Bazel build of more than 200 compilations: on a cluster of three workers, and locally with as many slots.

    .venv/bin/python tests/bench/bazel_build.py [WORKERS]

`make test-real` installs Bazel. The build is cold each time: the local one starts from `bazel clean`, the remote one
also on a cluster that has never seen the project.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from finding import figure, note, show
from proof import Cluster

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.real.bazel import Bazel
from tests.real.workspace import Workspace

_REPEATS = 3
_MOST = 1.25
_WHAT = "//src/...", "//app/..."


def main(workers: int = 3) -> None:
    """Local and remote in turns."""
    local, remote = [], []
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(Path(scratch) / "workspace")
        workspace.write()
        bazel = Bazel(workspace, Path(scratch) / "bazel")
        try:
            bazel.run("build", "--nobuild", *_WHAT)
            for number in range(_REPEATS):
                note(f"build {number + 1} of {_REPEATS}")
                workspace.cluster(f"build --spawn_strategy=local --jobs={workers}\n")
                local.append(_timed(bazel))
                remote.append(_on_cluster(Path(scratch) / f"cluster-{number}", bazel, workers))
        finally:
            bazel.shutdown()
    show(figure(f"Bazel, locally with {workers} slots", local, "s"))
    show(figure(f"Bazel, on {workers} workers that are new", remote, "s"))
    shares = [one / other for one, other in zip(remote, local, strict=True)]
    show(figure(f"Bazel, {workers} workers to local", shares, "times the time", most=_MOST))


def _on_cluster(home: Path, bazel: Bazel, workers: int) -> float:
    home.mkdir()
    cluster = Cluster(home)
    try:
        cluster.up(workers)
        bazel.workspace.cluster(cluster.bazelrc(workers))
        return _timed(bazel)
    finally:
        cluster.down("--wipe")


def _timed(bazel: Bazel) -> float:
    bazel.clean()
    begun = time.perf_counter()
    run = bazel.run("build", *_WHAT)
    took = time.perf_counter() - begun
    assert "remote cache hit" not in run.processes
    return took


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

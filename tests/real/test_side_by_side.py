"""The comparison with casd as a server works, and both servers do the same: a small one, whose figures mean nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]


def test_both_servers_run_every_action_once_and_then_have_it_in_the_cache(buildbox: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    small = ["--scale", "0.01", "--rounds", "0", "--phases", "cold", "warm", "--json", str(figures)]
    command = [sys.executable, "-m", "tests.bench.bazel.side_by_side", *small]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    builds = {(build["server"], build["phase"]): build["processes"] for build in json.loads(figures.read_text())}
    first = builds["nlctl", "cold"]["remote"]
    assert first >= 40
    assert len(builds) == 4
    for (_, phase), processes in builds.items():
        assert processes.get("remote" if phase == "cold" else "remote cache hit") == first
        assert "local" not in processes

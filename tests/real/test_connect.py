"""What `nlctl connect` prints is all that a client needs: real clients are given exactly that."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real import build, sites
from tests.real.bazel import Bazel
from tests.real.bst import WORDS, Machine, Project
from tests.real.programs import program
from tests.real.sites import HERE

pytestmark = pytest.mark.real


def nlctl(home: Path, *words: str) -> Any:
    """Run it as a user with this home; gives its document."""
    ran = subprocess.run(
        [program("nlctl"), *words, "-o", "json"],
        env={**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """That of a user whose cluster runs."""
    made = tmp_path_factory.mktemp("home")
    nlctl(made, "up", "--workers", "2")
    yield made
    nlctl(made, "down", "--wipe", "--yes")


def test_bazel_builds_with_exactly_these_flags(home: Path, bazel: Bazel) -> None:
    told = nlctl(home, "connect", "bazel")["item"]
    assert shlex.split(told["command"]) == ["bazel", "build", "//...", *told["arguments"]]
    bazel.workspace.cluster("")
    bazel.clean()
    run = bazel.run("build", "//app/...", *told["arguments"])
    assert run.processes["remote"] > 10
    assert "local" not in run.processes
    build.programs_are_right(bazel)


def test_buildstream_builds_with_exactly_this_file(buildstream: Path, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    with sites.all_in_one(tmp_path / "all", HERE / "chroot.sh") as running:
        told = nlctl(tmp_path, "--endpoint", running.endpoint, "connect", "buildstream")["item"]
        project = Project(tmp_path / "project")
        machine = Machine(buildstream, project, tmp_path / "machine", running.endpoint, told["text"])
        said = machine.bst("build", "shout.bst")
        assert "Waiting for the remote build to complete" in said
        assert "Pushed artifact" in said
        assert (machine.checkout("shout.bst", tmp_path / "out") / "share/shout.txt").read_text() == WORDS.upper()

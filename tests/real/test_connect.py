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


def test_moon_takes_from_the_cache_what_another_checkout_built_with_exactly_this_section(
    home: Path, moon: Path, tmp_path: Path
) -> None:
    told = nlctl(home, "connect", "moon")["item"]
    said = []
    for checkout in (tmp_path / "here", tmp_path / "there"):
        (checkout / "app").mkdir(parents=True)
        (checkout / ".moon").mkdir()
        (checkout / told["file"]).write_text(f"projects: [app]\ntelemetry: false\n{told['text']}")
        (checkout / "app/in").write_text("the same")
        (checkout / "app/moon.yml").write_text(
            "tasks: {build: {command: 'cp /proc/sys/kernel/random/uuid out', inputs: [in], outputs: [out]}}\n"
        )
        git = ["git", "-C", checkout, "-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run([*git, "init", "--quiet"], check=True)
        subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "begin"], check=True)
        ran = subprocess.run(
            [moon, *shlex.split(told["command"])[1:]],
            cwd=checkout,
            env={**os.environ, "HOME": str(tmp_path), "MOON_HOME": str(tmp_path / "moon"), "CI": "1"},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        said.append(ran.stdout + ran.stderr)
    assert "cached from remote" not in said[0]
    assert "cached from remote" in said[1]
    assert (tmp_path / "here/app/out").read_text() == (tmp_path / "there/app/out").read_text()

"""One config that holds everything, in one process, runs the same build."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.real import build, sites
from tests.real.bazel import Bazel, Run
from tests.real.programs import program
from tests.real.sites import HERE, Site

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bazel: Bazel) -> Iterator[Site]:
    with sites.all_in_one(tmp_path_factory.mktemp("all")) as running:
        bazel.workspace.cluster(build.remote(running.endpoint))
        yield running


@pytest.fixture(scope="module")
def first(site: Site, bazel: Bazel) -> Run:
    return build.builds_everything_remotely(bazel)


def test_the_config_is_judged_to_be_right() -> None:
    environment = {"DATA": "/nonexistent"}
    judged = subprocess.run(
        [program("nlserver"), "--check", str(HERE / "all-in-one.json5")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_the_build_is_right(first: Run, bazel: Bazel) -> None:
    build.outputs_are_right(bazel)


def test_after_clean_everything_is_a_cache_hit(first: Run, bazel: Bazel) -> None:
    build.is_all_cache_hits(bazel, first)

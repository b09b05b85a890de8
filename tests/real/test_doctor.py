"""The doctor says nothing of a cluster that is well, whatever goes on; `tests/bench/doctor.py` asks it 50 times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nlctl.conftest import Cli
from tests.real.bazel import Bazel

pytestmark = pytest.mark.real
WORKERS = 5
RUNS = 4


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A new cluster of five workers."""
    made = Cli(tmp_path_factory.mktemp("home"))
    made("up", "--workers", str(WORKERS), "--base-port", "auto")
    yield made
    made("down", "--all", "--wipe", "--yes", code=None)


def alarms(cluster: Cli) -> list[tuple[str, str]]:
    """The checks that are not content, and what they say."""
    found = cluster("doctor", "-o", "json", code=None).document["items"]
    return [(one["id"], one["what"]) for one in found if one["status"] in ("failed", "warning", "unknown")]


def test_of_a_cluster_that_is_well_nothing_is_said(cluster: Cli) -> None:
    """Statement 45."""
    for _ in range(RUNS):
        assert alarms(cluster) == []


def test_nor_while_bazel_builds_on_it(cluster: Cli, bazel: Bazel, tmp_path: Path) -> None:
    """Statement 45."""
    lines = cluster("bazelrc", "-o", "json").document["item"]["lines"]
    bazel.workspace.cluster("\n".join([*lines, f"build --config=nl --jobs={WORKERS}"]) + "\n")
    bazel.clean()
    beside = 0
    with (tmp_path / "log").open("w+") as log:
        building = bazel.start("build", "//src/...", "//app/...", output=log)
        while beside < RUNS and building.poll() is None:
            assert alarms(cluster) == []
            beside += building.poll() is None
        assert building.wait(900) == 0, (tmp_path / "log").read_text()
    assert beside, "the build was over before the doctor was"

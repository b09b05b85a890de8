"""A build goes on when a worker dies in the middle of it, and when blobs are gone that were there before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import build, sites
from tests.real.bazel import Bazel
from tests.real.sites import Site

pytestmark = pytest.mark.real
SOME = ("//app:main1", "//gen/...")
ALL = ("//app/...", "//gen/...")


@pytest.fixture
def site(tmp_path: Path, bazel: Bazel) -> Iterator[Site]:
    with sites.seed(tmp_path, 3) as running:
        bazel.workspace.cluster(build.remote(running.endpoint, running.cache))
        bazel.clean()
        yield running


def test_a_build_finishes_although_a_worker_is_killed_while_it_executes_actions(
    site: Site, bazel: Bazel, tmp_path: Path
) -> None:
    victim, *others = site.workers
    said = tmp_path / "bazel.log"
    with said.open("w") as output:
        building = bazel.start("build", "//slow:all", "//app/...", output=output)
        victim.wait_for("Executing action", 10)
        victim.kill()
        assert building.poll() is None, "the build was over before the worker was killed"
        code = building.wait(600)
    assert code == 0, said.read_text()
    build.slow_actions_are_right(bazel)
    build.programs_are_right(bazel)
    assert all(worker.lines("Executing action") for worker in others)


def test_blobs_that_were_lost_between_two_builds_are_made_or_uploaded_again(site: Site, bazel: Bazel) -> None:
    bazel.run("build", *SOME)
    assert site.lose_every_blob() > 500
    bazel.clean()
    again = bazel.run("build", *SOME)
    assert again.processes["remote"] > 0
    build.program_is_right(bazel, 1)
    build.generated_files_are_right(bazel)


def test_a_build_finishes_although_every_blob_is_lost_in_the_middle_of_it(
    site: Site, bazel: Bazel, tmp_path: Path
) -> None:
    said = tmp_path / "bazel.log"
    with said.open("w") as output:
        building = bazel.start("build", *ALL, output=output)
        site.workers[0].wait_for("Executing action", 50)
        lost = site.lose_every_blob()
        assert building.poll() is None, "the build was over before the blobs were lost"
        code = building.wait(600)
    assert code == 0, said.read_text()
    assert lost > 100
    build.outputs_are_right(bazel)


def test_inputs_that_the_cluster_lost_are_uploaded_again(site: Site, bazel: Bazel) -> None:
    bazel.run("build", "//gen:g0", "//app:main1")
    site.lose_every_blob()
    # Bazel still has what it made and fetched, and asks the cluster for other things that are made out of it.
    after = bazel.run("build", *SOME, "//app:main2")
    assert after.processes["remote"] > 0
    build.program_is_right(bazel, 2)
    build.generated_files_are_right(bazel)

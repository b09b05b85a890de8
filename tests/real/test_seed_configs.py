"""The configs of NativeLink's multi-worker guide, unchanged, run a real build, and the guide's checks hold."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest

from tests.real import build, sites
from tests.real.bazel import Bazel, Run
from tests.real.sites import Site

pytestmark = pytest.mark.real


@pytest.fixture(scope="module", params=[1, 3], ids=["three processes", "five processes"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, bazel: Bazel) -> Iterator[Site]:
    with sites.seed(tmp_path_factory.mktemp("seed"), request.param) as running:
        bazel.workspace.cluster(build.remote(running.endpoint, running.cache))
        yield running


@pytest.fixture(scope="module")
def first(site: Site, bazel: Bazel) -> Run:
    return build.builds_everything_remotely(bazel)


def test_the_build_is_right(first: Run, bazel: Bazel) -> None:
    build.outputs_are_right(bazel)


def test_every_worker_executed_actions(first: Run, site: Site) -> None:
    executed = [len(worker.lines("Executing action")) for worker in site.workers]
    assert all(executed)
    assert sum(executed) >= first.processes["remote"]


def test_no_worker_gets_much_more_than_its_share(first: Run, site: Site) -> None:
    executed = [len(worker.lines("Executing action")) for worker in site.workers]
    assert max(executed) < 2 * sum(executed) / len(executed) + 1


def test_the_greps_of_the_guide_find_what_it_says(site: Site) -> None:
    assert len(site.scheduler.lines("Worker registered")) == len(site.workers)
    for worker in site.workers:
        assert worker.lines("Connected to scheduler")
        (properties,) = worker.lines("platform_properties")
        assert "ISA" in properties
        assert "x86-64" in properties


# The guide's own line, which Bazel reads as one property with a comma in its value, and what it means.
@pytest.mark.parametrize("asked", [("OSFamily=linux,ISA=x86-64",), ("OSFamily=linux", "ISA=x86-64")])
def test_actions_that_ask_for_the_properties_of_the_guide_run(site: Site, bazel: Bazel, asked: tuple[str, ...]) -> None:
    options = [f"--remote_default_exec_properties={pair}" for pair in asked]
    bazel.clean()
    run = bazel.run("build", "//gen:g0", "--noremote_accept_cached", *options)
    assert run.processes["remote"] == 1


def test_the_scheduler_answers_health_checks(site: Site) -> None:
    with urllib.request.urlopen("http://127.0.0.1:50061/status", timeout=5) as answer:
        assert answer.status == 200


def test_after_clean_everything_is_a_cache_hit(first: Run, bazel: Bazel) -> None:
    build.is_all_cache_hits(bazel, first)
    build.outputs_are_right(bazel)

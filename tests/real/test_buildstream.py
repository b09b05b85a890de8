"""BuildStream shares artifacts and sources through our server (Remote Asset API), and builds on our workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real import sites
from tests.real.bst import WORDS, Machine, Project
from tests.real.sites import HERE, Site

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites.all_in_one(tmp_path_factory.mktemp("all"), HERE / "chroot.sh") as running:
        yield running


@pytest.fixture(scope="module")
def project(buildstream: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


Make = Callable[[str], Machine]


@pytest.fixture(scope="module")
def machine(site: Site, project: Project, buildstream: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    homes = tmp_path_factory.mktemp("machines")
    server = site.endpoint.replace("grpc://", "http://")
    return lambda name: Machine(buildstream, project, homes / name, server)


@pytest.fixture(scope="module")
def built(machine: Make) -> Machine:
    """A machine that has built and pushed everything."""
    first = machine("first")
    said = first.bst("build", "shout.bst")
    assert "Waiting for the remote build to complete" in said
    assert said.count("INFO    Pushed artifact") == 3
    return first


def test_an_element_is_built_by_workers_whose_whole_system_is_the_input_root(
    built: Machine, site: Site, tmp_path: Path
) -> None:
    made = built.checkout("shout.bst", tmp_path / "out")
    assert (made / "share/shout.txt").read_text() == WORDS.upper()
    assert (made / "share/empty").is_dir()
    assert len(site.scheduler.lines("Executing action")) == 1


def test_another_machine_pulls_the_artifact_instead_of_building(
    built: Machine, machine: Make, site: Site, tmp_path: Path
) -> None:
    second = machine("second")
    said = second.bst("build", "shout.bst")
    assert "Pulled artifact" in said
    assert "Waiting for the remote build" not in said
    assert (second.checkout("shout.bst", tmp_path / "out") / "share/shout.txt").read_text() == WORDS.upper()
    assert len(site.scheduler.lines("Executing action")) == 1


def test_a_source_whose_origin_is_gone_comes_from_the_server(built: Machine, machine: Make, project: Project) -> None:
    hidden = project.origin.rename(project.root / "hidden")
    try:
        machine("third").bst("source", "fetch", "words.bst")
    finally:
        hidden.rename(project.origin)


def test_what_nobody_pushed_is_built(built: Machine, machine: Make, site: Site, project: Project) -> None:
    element = project.root / "elements/shout.bst"
    text = element.read_text()
    element.write_text(text.replace("a-z A-Z", "a-y A-Y"))
    try:
        machine("fourth").bst("build", "shout.bst")
    finally:
        element.write_text(text)
    assert len(site.scheduler.lines("Executing action")) == 2


def test_the_server_said_nothing_of_errors(built: Machine, site: Site) -> None:
    assert site.cas.lines("ERROR") == []

"""The doctor in Docker: each fault is made on the engine, is named and nothing else, and is mended by `--fix`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import docker
import pytest

from nlctl.lab.faults import every
from nlctl.launch.backends import DOCKER
from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid

pytestmark = pytest.mark.real

NAME = "faulty"
ISOLATED = "isolated-volumes"
FAULTS = {name: one for name, one in every().items() if one.backend == DOCKER}


@pytest.fixture(scope="module")
def lab(user: Cli, engine: docker.DockerClient, image: str) -> Iterator[Cli]:
    words = ("--backend", "docker", "--image", image, "--name", NAME, "--wait-timeout", "600s")
    item = valid(user("lab", "start", *words, "-o", "json").document)["item"]
    assert item["broken"] is None
    yield user
    user("lab", "stop", "--name", NAME)
    mine = {"filters": {"label": f"nlctl.cluster={NAME}"}}
    assert not [*engine.containers.list(all=True, **mine), *engine.networks.list(**mine), *engine.volumes.list(**mine)]


def fixed(lab: Cli) -> Any:
    return valid(lab("-C", NAME, "doctor", "--fix", "--yes", "-o", "json", code=None).document)["item"]


def bad(lab: Cli, *words: str) -> set[tuple[str, str]]:
    rows = valid(lab("-C", NAME, "doctor", *words, "-o", "json", code=None).document)["items"]
    return {(one["id"], one["status"]) for one in rows if one["status"] in ("failed", "warning", "unknown")}


def restore(lab: Cli) -> str | None:
    was: str | None = valid(lab("-C", NAME, "lab", "restore", "-o", "json").document)["item"]["fault"]
    return was


def test_the_doctor_has_nothing_to_say_of_a_lab_that_is_whole(lab: Cli) -> None:
    assert bad(lab) == set()


@pytest.mark.parametrize("name", [name for name in FAULTS if name != ISOLATED])
def test_each_fault_is_named_and_nothing_else_and_is_mended(lab: Cli, name: str) -> None:
    """Statements 44 to 46."""
    [asked] = valid(lab("-C", NAME, "lab", "break", name, "-o", "json").document)["item"]["ask"]
    assert asked["command"] == ["nlctl", "-C", NAME, "doctor"]
    try:
        done = fixed(lab)
        assert {one["check"] for one in done["mends"]} == {FAULTS[name].check}
        assert all(one["is_well"] for one in done["mends"])
        assert {repair for one in done["mends"] for repair in one["repairs"]} == set(FAULTS[name].mended_by)
        assert done["left"] == []
    finally:
        assert restore(lab) == name


def test_a_repair_is_taken_back_and_the_lab_finds_its_way_from_there(lab: Cli) -> None:
    lab("-C", NAME, "lab", "break", ISOLATED)
    found = {(FAULTS[ISOLATED].check, str(FAULTS[ISOLATED].status))}
    assert bad(lab) == found
    done = fixed(lab)
    assert [one["is_well"] for one in done["mends"]] == [True]
    assert [one["kind"] for one in done["changes"]] == ["file", "file", "parts_remade", "parts_remade"]
    undone = valid(lab("-C", NAME, "doctor", "undo", done["id"], "--yes", "-o", "json").document)["item"]
    assert [one["kind"] for one in undone["undone"]] == ["parts_remade", "parts_remade", "file", "file"]
    assert bad(lab, "docker", "sharing") == found
    assert restore(lab) == ISOLATED
    assert bad(lab) == set()


def test_a_fault_of_processes_is_refused(lab: Cli) -> None:
    assert lab("-C", NAME, "lab", "break", "split-cas", "-o", "json", code=7).fault["code"] == "NL-LAB-105"

"""The doctor's acceptance: each fault is put into one lab for real, and the doctor must name it and nothing else."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nlctl.doctor.finding import Verdict
from nlctl.lab.faults import every
from nlctl.lab.injection import Injection
from tests.nlctl.conftest import LIMIT, Cli, until
from tests.nlctl.documents import valid

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    made = Cli(tmp_path_factory.mktemp("lab"))
    made("lab", "start", "--wait-timeout", f"{LIMIT}s")
    yield made
    made("lab", "stop", code=None)


def answers(
    lab: Cli, asked: list[dict[str, Any]], fault: Injection | None = None
) -> tuple[set[tuple[str, str]], str | None]:
    """What the doctor says: the checks that do not end well, or as this fault has it, and its verdict on a blob."""
    wanted = (fault.check, str(fault.status)) if fault else None
    findings: set[tuple[str, str]] = set()
    cause = None
    for one in asked:
        program, *words = one["command"]
        assert program == "nlctl"
        folder = Path(one["folder"]) if one["folder"] else None
        said = valid(lab(*words, "-o", "json", code=None, folder=folder, **one["environment"]).document)
        if "item" in said:
            cause = said["item"]["verdict"]
        else:
            ends = {(row["id"], row["status"]) for row in said["items"]}
            findings = {one for one in ends if one[1] in ("failed", "warning", "unknown") or one == wanted}
    return findings, cause


@pytest.mark.parametrize("name", every())
def test_the_doctor_names_each_fault_and_nothing_else(lab: Cli, name: str) -> None:
    """Statements 44 to 46."""
    fault = every()[name]
    broken = valid(lab("lab", "break", name, "-o", "json").document)["item"]
    try:
        assert answers(lab, broken["ask"], fault) == (
            {(fault.check, str(fault.status))} if fault.check else set(),
            str(fault.cause) if fault.cause else None,
        )
    finally:
        restored = valid(lab("lab", "restore", "-o", "json").document)["item"]
    assert restored["fault"] == name


def test_the_empty_blob_is_uploaded_to_a_server_that_lacks_it(lab: Cli) -> None:
    [asked] = valid(lab("lab", "break", "no-empty-blob", "-o", "json").document)["item"]["ask"]
    try:
        lab(*asked["command"][1:], "--fix", "--yes")
        assert answers(lab, [asked]) == (set(), None)
    finally:
        lab("lab", "restore")


def test_what_a_killed_command_broke_is_restored(lab: Cli) -> None:
    journal = lab.state / "clusters" / "lab" / "lab.json"
    breaking = lab.popen("lab", "break", "split-cas", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: '"text"' in journal.read_text())
    breaking.send_signal(signal.SIGKILL)
    breaking.wait()
    assert lab("lab", "break", "split-cas", "-o", "json", code=7).fault["code"] == "NL-LAB-102"
    assert valid(lab("lab", "restore", "-o", "json").document)["item"]["fault"] == "split-cas"


def test_a_tour_breaks_looks_and_restores(lab: Cli) -> None:
    toured = valid(lab("lab", "tour", "wrong-size", "config-mistake", "-o", "json").document)["items"]
    assert [(row["fault"], row["agrees"]) for row in toured] == [("wrong-size", True), ("config-mistake", True)]


def test_in_the_end_the_lab_is_whole(lab: Cli) -> None:
    """Statement 45."""
    shares = Injection("", "", "", lambda _: None, "NLD-SHR-02", Verdict.INFO)
    asked = [{"command": ["nlctl", "-C", "lab", "doctor"], "environment": {}, "folder": None}]
    assert answers(lab, asked, shares) == ({("NLD-SHR-02", "info")}, None)
    assert valid(lab("lab", "start", "-o", "json").document)["item"]["broken"] is None

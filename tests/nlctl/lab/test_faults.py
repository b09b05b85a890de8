"""The doctor's acceptance: each fault is put into one lab for real.

The doctor must name it and nothing else, and take away what it can so that it finds nothing more; and back again.
"""

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
from nlctl.launch.backends import PROCESS
from tests.nlctl.conftest import LIMIT, Cli, until
from tests.nlctl.documents import valid

pytestmark = pytest.mark.slow
MEASURED = "slow-way"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    made = Cli(tmp_path_factory.mktemp("lab"))
    # What lies where a command is given is none of ours.
    (made.home / "nlserver.py").write_text("raise SystemExit('this file is not meant')")
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


def mended(lab: Cli, asked: dict[str, Any], fault: Injection) -> set[str]:
    """Let the doctor mend what it was asked about, and take that back; the repairs that it made.

    A cluster is well then; a blob that is gone is left to its client.
    """
    _, *words = asked["command"]
    fixed = lab(*words, "--fix", "--yes", "-o", "json", code=None, **asked["environment"])
    done = valid(fixed.document)["item"]
    assert all(one["is_well"] for one in done["mends"]), fixed.err
    if "object" not in words:
        assert fixed.code == 0, fixed.out
        # How often a part ended until then is a matter of time.
        assert {one["check"] for one in done["left"]} <= {fault.leaves}, fixed.out
    undone = valid(lab("doctor", "undo", done["id"], "--yes", "-o", "json").document)["item"]
    assert undone["undone"] == [
        {"kind": one["kind"], "undoes": one["undoes"]} for one in reversed(done["changes"]) if one["undoes"]
    ]
    return {repair for one in done["mends"] for repair in one["repairs"]}


OF_THE_PAST = (
    *("evicted-blob", "hurried-store", "small-tier", "config-changed", "left-process", "littered-worker"),
    *("no-empty-blob", "lost-property", "crashing-worker", "emptied-store"),
)
"""Nothing brings these back: evictions were before a restart, processes ended, litter comes back new, a blob stays, an
action ended, a worker that runs again goes on without its directory, and a CAS that was restarted promises nothing."""


def test_a_loss_of_speed_is_named_where_the_machine_is_quiet_enough_to_measure_it(lab: Cli) -> None:
    """Where much else runs the doctor says that it cannot tell, and that nothing is wrong."""
    fault = every()[MEASURED]
    wanted = {(fault.check, str(fault.status))}, None

    def named() -> bool:
        broken = valid(lab("lab", "break", MEASURED, "-o", "json").document)["item"]
        try:
            said = answers(lab, broken["ask"], fault)
        finally:
            lab("lab", "restore")
        assert said in (wanted, (set(), None))
        return said == wanted

    until(named, 4 * LIMIT)


@pytest.mark.parametrize("name", [name for name, one in every().items() if one.backend == PROCESS and name != MEASURED])
def test_the_doctor_names_each_fault_and_nothing_else_and_mends_what_it_can(lab: Cli, name: str) -> None:
    """Statements 44 to 46."""
    fault = every()[name]
    broken = valid(lab("lab", "break", name, "-o", "json").document)["item"]
    try:
        assert answers(lab, broken["ask"], fault) == (
            {(fault.check, str(fault.status))} if fault.check else set(),
            str(fault.cause) if fault.cause else None,
        )
        if fault.mended_by:
            assert mended(lab, broken["ask"][0], fault) == set(fault.mended_by)
            again = [*broken["ask"][0]["command"], *(["--check", fault.check] if fault.check else [])]
            named = ({(fault.check, str(fault.status))}, None) if fault.check else (set(), str(fault.cause))
            assert name in OF_THE_PAST or answers(lab, [{**broken["ask"][0], "command": again}], fault) == named
    finally:
        restored = valid(lab("lab", "restore", "-o", "json").document)["item"]
    assert restored["fault"] == name


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
    """Statements 45 and 49: that workers share a fast directory is told by NLD-SHR-02, and no warning."""
    shares = Injection("", "", "", lambda _: None, "NLD-SHR-02", Verdict.INFO)
    asked: list[dict[str, Any]] = [{"command": ["nlctl", "-C", "lab", "doctor"], "environment": {}, "folder": None}]
    assert answers(lab, asked, shares) == ({("NLD-SHR-02", "info")}, None)
    assert valid(lab("lab", "start", "-o", "json").document)["item"]["broken"] is None

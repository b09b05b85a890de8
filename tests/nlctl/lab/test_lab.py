"""What the lab promises before anything runs: which faults there are, which cluster is touched, how undoing is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlctl.doctor.blob import Cause
from nlctl.doctor.checks import every as every_check
from nlctl.generate.doctor_page import files
from nlctl.lab.faults import every
from nlctl.lab.journal import Journal
from nlctl.lab.uncaused import UNCAUSED
from nlctl.lab.undo import Ended, Joined, Moved, Text, read
from nlctl.launch.ledger import Ledger
from tests.nlctl.conftest import Cli, items

ENDS = ("failed", "warning", "info")
"""How a check may end that has something to say."""
WELL = {Cause.PRESENT, Cause.SHARED_FAST}
"""Not caused: nothing is wrong, and what nlserver keeps from happening."""


@pytest.fixture
def foreign(cli: Cli) -> Cli:
    """Somebody who has a cluster of his own, called dev."""
    home = cli.state / "clusters" / "dev"
    home.mkdir(parents=True)
    (home / "cluster.json").write_text("{}")
    return cli


def test_the_list_names_each_fault_with_what_must_be_said_of_it(cli: Cli) -> None:
    rows = items(cli, "lab", "ls")
    assert {row["name"] for row in rows} == set(every())
    assert all(row["check"] or row["cause"] for row in rows)


def test_faults_name_checks_that_exist() -> None:
    assert {one.check for one in every().values() if one.check} <= set(every_check())


def test_each_verdict_of_a_check_has_a_fault_or_a_reason_why_not() -> None:
    caused = {(one.check, str(one.status)) for one in every().values()}
    assert not {check for check, _ in caused} & set(UNCAUSED)
    assert {one.partition(" ")[0] for one in UNCAUSED} <= set(every_check())
    for check in every_check().values():
        wanted = {word for word in ENDS if word in check.verdicts and f"{check.id} {word}" not in UNCAUSED}
        assert check.id in UNCAUSED or wanted == {end for id_, end in caused if id_ == check.id}, check.id


def test_every_verdict_on_a_blob_has_a_fault_that_leads_to_it() -> None:
    assert {one.cause for one in every().values() if one.cause} == set(Cause) - WELL


def test_the_page_of_the_doctor_has_every_fault() -> None:
    page = files()["docs/doctor.md"]
    assert [name for name in every() if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("words", [("break", "split-cas"), ("restore",), ("stop",), ("tour",), ("start",)])
def test_a_cluster_that_is_no_lab_is_left_alone(foreign: Cli, words: tuple[str, ...]) -> None:
    refused = foreign("-C", "dev", "lab", *words, "-o", "json", code=7)
    assert refused.fault["code"] == "NL-LAB-101"
    assert [path.name for path in (foreign.state / "clusters" / "dev").iterdir()] == ["cluster.json"]


def test_the_latest_cluster_is_not_meant(foreign: Cli) -> None:
    assert foreign("lab", "break", "split-cas", "-o", "json", code=4).fault["code"] == "NL-NET-102"


def test_a_fault_that_does_not_exist_is_refused_with_the_nearest(cli: Cli) -> None:
    refused = cli("lab", "break", "split-ca", "-o", "json", code=3).fault
    assert refused["code"] == "NL-LAB-103"
    assert any("split-cas" in one["text"] for one in refused["fix"])


def test_undoing_is_written_down_and_carried_out_in_reverse(tmp_path: Path) -> None:
    journal, file = Journal(Ledger(tmp_path)), tmp_path / "file"
    assert not journal.exists
    journal.begin("some-fault")
    journal.note(Text(str(file), None))
    journal.note(Text(str(file), "before"))
    file.write_text("after")
    again = Journal(Ledger(tmp_path))
    assert again.broken == "some-fault"
    again.undo(lambda _undo, error: pytest.fail(str(error)))
    assert not file.exists()


@pytest.mark.parametrize("times", [1, 2])
def test_undoing_twice_is_undoing_once(tmp_path: Path, times: int) -> None:
    folder, aside = tmp_path / "folder", tmp_path / "folder.aside"
    (aside / "inside").mkdir(parents=True)
    folder.write_text("in its place")
    for _ in range(times):
        read(Moved(str(folder), str(aside)).document()).carry_out()
    assert (folder / "inside").is_dir()


def test_a_control_group_that_was_never_made_is_nothing_to_undo(tmp_path: Path) -> None:
    read(Joined(str(tmp_path / "never"), str(tmp_path)).document()).carry_out()


def test_a_process_whose_number_went_to_another_is_left_alone() -> None:
    read(Ended(1, 123).document()).carry_out()

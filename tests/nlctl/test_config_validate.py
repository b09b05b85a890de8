"""`nlctl config validate` and `config undo`, run as people run them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlctl.launch.templates import template
from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid


@pytest.fixture
def folder(cli: Cli) -> Path:
    made = cli.home / "nl"
    made.mkdir()
    for name in ("cas", "scheduler", "worker"):
        (made / f"{name}.json5").write_text(template(f"{name}.json5"))
    return made


def test_every_error_of_every_file_is_shown_with_place_mark_reason_and_remedy(cli: Cli, folder: Path) -> None:
    cas = (folder / "cas.json5").read_text()
    (folder / "cas.json5").write_text(cas.replace("eviction_policy", "evicton_policy", 1).replace("10gb", "10 gigs"))
    worker = (folder / "worker.json5").read_text()
    (folder / "worker.json5").write_text(worker.replace("work_directory:", "work_dir:"))
    done = cli("config", "validate", "nl", code=13)
    lines = done.out.splitlines()
    (head,) = [line for line in lines if "evicton_policy" in line and "unknown key" in line]
    assert head.startswith("nl/cas.json5:11:9  error[NL-CFG-104]  stores[0].filesystem.evicton_policy: ")
    at = lines.index(head)
    assert lines[at + 1].startswith("   11 |         evicton_policy: {")
    assert lines[at + 2] == "      |         ^^^^^^^^^^^^^^"
    assert lines[at + 3].startswith("   why  ")
    assert lines[at + 4] == '   fix  did you mean "eviction_policy"?'
    number = worker[: worker.index("work_directory:")].count("\n") + 1
    assert any(line.startswith(f"nl/worker.json5:{number}:9  error[NL-CFG-104]") for line in lines)
    assert "errors" in done.err
    assert "(exit 13, invalid)" in done.err


def test_the_findings_are_a_document(cli: Cli, folder: Path) -> None:
    (folder / "cas.json5").write_text(template("cas.json5").replace("max_bytes", "max_bites", 1))
    document = valid(cli("config", "validate", "nl", "--deep", "-o", "json", code=13).document)
    (item,) = [one for one in document["items"] if one["severity"] == "error"]
    assert (item["id"], item["line"], item["fixable"]) == ("NL-CFG-104", 11, True)
    assert document["unread"] == ["nl/cas.json5"]


def test_warnings_fail_only_when_they_shall(cli: Cli, folder: Path) -> None:
    text = template("scheduler.json5").replace("simple: {", "simple: { max_job_retries: 0,")
    (folder / "scheduler.json5").write_text(text)
    assert "NL-CFG-115" in cli("config", "validate", "nl", "--deep").out
    cli("config", "validate", "nl", "--deep", "--strict", code=13)
    cli("config", "validate", "nl", "--strict")


def test_shipped_configs_are_right_for_nlserver_and_not_for_nativelink(cli: Cli, folder: Path) -> None:
    assert cli("config", "validate", "nl", "--deep", "--strict").out == ""
    assert "NL-CFG-108" in cli("config", "validate", "nl", "--deep", "--for", "nativelink", code=13).out


def test_variables_can_be_tried(cli: Cli, folder: Path) -> None:
    cli("config", "validate", "nl/cas.json5", "--set", "CAS_SIZE=lots", code=13)


def test_repairs_are_shown_written_and_undone_byte_for_byte(cli: Cli, folder: Path) -> None:
    """Statement 40, and the undoing of statement 46."""
    wrong = template("cas.json5").replace("eviction_policy", "evicton_policy", 1)
    (folder / "cas.json5").write_text(wrong)
    shown = cli("config", "validate", "nl", "--fix", "--dry-run", code=13)
    assert "+        eviction_policy" in shown.err
    assert (folder / "cas.json5").read_text() == wrong
    cli("config", "validate", "nl", "--fix")
    assert (folder / "cas.json5").read_text() == template("cas.json5")
    undone = valid(cli("config", "undo", "-o", "json").document)["item"]
    assert undone["files"] == [str(folder / "cas.json5")]
    assert (folder / "cas.json5").read_text() == wrong
    cli("config", "undo", code=3)


def test_an_edit_is_not_undone_over_a_later_change(cli: Cli, folder: Path) -> None:
    (folder / "cas.json5").write_text(template("cas.json5").replace("eviction_policy", "evicton_policy", 1))
    cli("config", "validate", "nl", "--fix")
    (folder / "cas.json5").write_text("{}")
    assert cli("config", "undo", "-o", "json", code=3).fault["code"] == "NL-CFG-202"
    assert (folder / "cas.json5").read_text() == "{}"


def test_what_is_no_file_is_named(cli: Cli) -> None:
    fault = valid(cli("config", "validate", "gone.json5", "-o", "json", code=3).fault)
    assert fault["code"] == "NL-CFG-201"


def test_a_hostile_config_writes_nothing_to_the_terminal(cli: Cli) -> None:
    (cli.home / "x.json5").write_text('{"\\u001b[31mred\x1b]0;title\x07": 1, stores: [], servers: []}')
    assert "\x1b" not in cli("config", "validate", "x.json5", code=13).out

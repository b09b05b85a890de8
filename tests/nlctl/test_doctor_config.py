"""`nlctl doctor config`, run as people and CI run it: no cluster is there."""

from __future__ import annotations

import json
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


def _advise(folder: Path) -> None:
    """Something wrong that is a warning, and an error."""
    (folder / "compose.yml").write_text("services:\n  worker:\n    image: nativelink\n    privileged: true\n")
    (folder / "more.yml").write_text(
        "services:\n  x:\n    image: nativelink\n    environment: [NL_OTEL_ENDPOINT=collector]\n"
    )


def test_right_files_are_right_without_any_cluster(cli: Cli, folder: Path) -> None:
    done = cli("doctor", "config", "nl", "--strict")
    assert done.out == ""
    assert "nothing is wrong with 3 configs" in done.err
    assert not cli.state.exists()


def test_what_is_wrong_is_shown_like_a_compiler_does_and_ends_with_5(cli: Cli, folder: Path) -> None:
    _advise(folder)
    done = cli("doctor", "config", "nl", code=5)
    assert "nl/compose.yml:4:17  warn[NL-CFG-153]  worker is privileged" in done.out
    assert "nl/more.yml:4:19  error[NL-CFG-158]" in done.out
    assert "1 error, 1 warning    (exit 5, unhealthy)" in done.err


def test_warnings_alone_fail_only_with_strict(cli: Cli, folder: Path) -> None:
    _advise(folder)
    (folder / "more.yml").unlink()
    cli("doctor", "config", "nl")
    cli("doctor", "config", "nl", "--strict", code=5)


def test_findings_are_a_document_that_names_the_catalogue(cli: Cli, folder: Path) -> None:
    _advise(folder)
    document = valid(cli("doctor", "config", "nl", "-o", "json", code=5).document)
    assert {(one["id"], one["nlx"]) for one in document["items"] if one["severity"] != "info"} == {
        ("NL-CFG-153", "NLX009"),
        ("NL-CFG-158", "NLX019"),
    }
    assert (document["errors"], document["warned"]) == (1, 1)


def test_github_shows_each_finding_at_its_line(cli: Cli, folder: Path) -> None:
    _advise(folder)
    lines = cli("doctor", "config", "nl", "--format", "github", code=5).out.splitlines()
    assert lines[0].startswith(
        "::warning file=nl/compose.yml,line=4,col=17,title=NL-CFG-153::worker is privileged%0Awhy: "
    )
    assert lines[1].startswith("::error file=nl/more.yml,line=4,col=19,title=NL-CFG-158::")


def test_sarif_names_each_rule_once_and_each_place(cli: Cli, folder: Path) -> None:
    _advise(folder)
    [run] = json.loads(cli("doctor", "config", "nl", "--format", "sarif", code=5).out)["runs"]
    rules = [one["id"] for one in run["tool"]["driver"]["rules"]]
    assert rules == sorted(set(rules))
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        where = result["locations"][0]["physicalLocation"]
        assert (folder.parent / where["artifactLocation"]["uri"]).is_file()
        assert where["region"]["startLine"] >= 1


def test_a_form_that_does_not_exist_is_refused(cli: Cli, folder: Path) -> None:
    assert "choose one of text, github, sarif" in cli("doctor", "config", "nl", "--format", "xml", code=2).err


def test_a_file_that_does_not_exist_is_named(cli: Cli) -> None:
    assert "there is no file absent.json5" in cli("doctor", "config", "absent.json5", code=3).err

"""Help without a cluster or a network: explain, topics, the pages of commands."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from nlctl import pages, topics
from nlctl.registry import COMMANDS
from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid


@pytest.mark.parametrize("code", ["NL-CAS-101", "nl-cas-101"])
def test_a_code_is_explained(cli: Cli, code: str) -> None:
    done = cli("explain", code)
    assert done.out.startswith("NL-CAS-101: a blob is not in the CAS\n")
    assert "\nHow to fix it:\n" in done.out
    assert "#" not in done.out


def test_an_explanation_is_a_document_on_demand(cli: Cli) -> None:
    item = valid(cli("explain", "NL-QUE-101", "-o", "json").document)["item"]
    assert (item["exit"], item["exit_name"]) == (125, "not-run")


def test_without_a_code_all_are_listed(cli: Cli) -> None:
    assert [line.split("\t")[0] for line in cli("explain").out.splitlines()] == pages.names(pages.CODES)
    valid(cli("explain", "-o", "json").document)


def test_a_mistyped_code_leads_to_the_right_one(cli: Cli) -> None:
    done = cli("explain", "NL-CAS-1O1", "-o", "json", code=3)
    assert done.fault["fix"][0]["command"] == ["nlctl", "explain", "NL-CAS-101"]
    valid(done.fault)


def test_no_page_is_read_from_elsewhere(cli: Cli) -> None:
    cli("explain", "../topics/digests", code=3)


@pytest.mark.parametrize("words", [["cas", "get", "--help"], ["-h", "cas", "get"], ["help", "cas", "get"]])
def test_the_page_of_a_command_is_the_same_through_every_door(cli: Cli, words: list[str]) -> None:
    page = pages.read(pages.HELP, "cas_get")
    assert cli(*words).out == page
    assert cli(*words, "--progress", "none").out == page
    assert valid(cli(*words, "-o", "json").document)["item"]["help"] == page


def test_help_without_a_topic_lists_all(cli: Cli) -> None:
    assert all(f"  {name} " in cli("help").out for name in topics.names())


def test_a_schema_is_shown_as_it_ships(cli: Cli) -> None:
    assert json.loads(cli("help", "schema", "nlctl.workers/v1").out)["$id"] == "nlctl.workers/v1"


def test_a_mistyped_topic_leads_to_the_right_one(cli: Cli) -> None:
    assert cli("help", "digets", "-o", "json", code=3).fault["fix"][0]["command"] == ["nlctl", "help", "digests"]


def test_a_manual_page_is_shown_and_all_are_written(cli: Cli) -> None:
    """Statement 56."""
    item = valid(cli("man", "cas", "get", "-o", "json").document)["item"]
    assert cli("man", "cas", "get").out == item["source"]
    assert item["source"].startswith(".TH NLCTL-CAS-GET 1 ")
    rows = valid(cli("man", "--install", "man", "-o", "json").document)["items"]
    assert {row["page"] for row in rows} == {"nlctl", *("-".join(("nlctl", *path)) for path in COMMANDS)}
    assert (cli.home / "man/man1/nlctl-cas-get.1").read_text() == item["source"]
    assert cli("man", "cas", "gte", "-o", "json", code=3).fault["code"] == "NL-USE-106"


@pytest.mark.real
@pytest.mark.parametrize("name", pages.names(pages.MAN))
def test_man_takes_every_page_without_a_warning(name: str) -> None:
    """Statement 56."""
    environment = {"PATH": os.environ["PATH"], "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANPAGER": "cat"}
    page = pages.read(pages.MAN, name)
    done = subprocess.run(
        ["man", "--warnings", "-l", "-"], input=page, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert name.upper() in done.stdout
    assert "SEE ALSO" in done.stdout

"""Help without a cluster or a network: explain, topics, the pages of commands."""

from __future__ import annotations

import json

import pytest

from nlctl import pages, topics
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

"""`nlctl doctor action` on a real cluster."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.nlctl.conftest import Cli, items
from tests.nlctl.documents import valid

pytestmark = pytest.mark.slow


def verdict(cli: Cli, *words: str, code: int = 0) -> Any:
    return valid(cli("doctor", "action", *words, "-o", "json", code=code).document)["item"]


def test_an_action_that_ended_well_tells_its_stages_beside_what_is_usual(cluster: Cli) -> None:
    cluster("run", "--", "/bin/echo", "other")
    cluster("run", "--", "/bin/echo", "one")
    found = verdict(cluster, "@last")
    assert found["verdict"] in ("OK", "SLOW")
    assert found["exit_code"] == 0
    assert found["samples"] >= 1
    assert all(stage["ms"] is not None and stage["usual_ms"] is not None for stage in found["stages"])


def test_a_failed_command_is_told_with_its_words_which_no_cache_keeps(cluster: Cli) -> None:
    cluster("run", "--", "/bin/sh", "-c", "echo last words >&2; exit 7", code=7)
    found = verdict(cluster, "@last", code=5)
    assert (found["verdict"], found["exit_code"], found["stderr"]) == ("COMMAND_FAILED", 7, "last words\n")
    said = cluster("doctor", "action", "@last", code=5).out
    assert "COMMAND_FAILED  its command ended with 7 on worker-" in said
    assert said.endswith("standard error:\n  last words\n")


def test_the_same_is_told_by_any_server_that_lists_its_operations(cluster: Cli) -> None:
    """Level A: without the admin service."""
    cluster("run", "--", "/bin/sh", "-c", "exit 9", code=9)
    shown = valid(cluster("context", "show", "-o", "json").document)["item"]
    found = verdict(cluster, "@last", "--endpoint", shown["executor"], code=5)
    assert (found["verdict"], found["operation"], found["exit_code"]) == ("COMMAND_FAILED", None, 9)


def test_a_running_operation_is_told_by_its_id(cluster: Cli, held: tuple[subprocess.Popen[bytes], Path]) -> None:
    [operation] = items(cluster, "ops", "ls", "--state", "executing")
    found = verdict(cluster, operation["id"])
    assert found["verdict"] == "RUNNING"
    assert "worker-1 has run it for" in found["what"]


def test_an_action_that_nobody_uploaded_is_missing(cluster: Cli) -> None:
    found = verdict(cluster, f"{'ab' * 32}/142", code=5)
    assert (found["verdict"], found["what"]) == ("MISSING_INPUTS", "the action itself is not in the CAS")


def test_a_text_without_an_action_is_refused(cluster: Cli) -> None:
    cluster("doctor", "action", "nothing", code=3)

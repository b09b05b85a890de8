"""Commands on workers: aimed, told phase by phase, detached, and only planned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.nlctl.conftest import Cli, items, until
from tests.nlctl.documents import valid

SCHEDULER = "scheduler"


def _endpoints(cluster: Cli) -> dict[str, str]:
    found: dict[str, str] = json.loads(cluster("status", "-o", "json").out)["item"]["endpoints"]
    return found


def _run(cluster: Cli, *words: str, code: int = 0) -> dict[str, Any]:
    item: dict[str, Any] = valid(cluster(*words, "-o", "json", "--", "true", code=code).document)["item"]
    return item


@pytest.mark.parametrize("words", [("run",), ("action", "run")])
def test_a_command_runs_on_the_worker_that_is_named(cluster: Cli, words: tuple[str, ...]) -> None:
    for worker in ("worker-1", "worker-2"):
        item = _run(cluster, *words, "--no-cache", "--on", worker)
        assert item["worker"].startswith(worker)
        assert None not in (item["queued_ms"], item["fetched_ms"], item["ran_ms"], item["uploaded_ms"])


def test_aiming_at_nobody_or_where_workers_have_no_names_is_said(cluster: Cli) -> None:
    unknown = cluster("run", "--on", "worker-9", "--", "true", code=125)
    assert "NL-WRK-101" in unknown.err
    assert "worker-1, worker-2" in unknown.err
    ours = ("--endpoint", _endpoints(cluster)[SCHEDULER])
    assert _run(cluster, *ours, "run", "--no-cache", "--on", "worker-2")["worker"].startswith("worker-2")
    foreign = cluster("--endpoint", _endpoints(cluster)["cas"], "run", "--on", "worker-2", "--", "true", code=125)
    assert "NL-NET-105" in foreign.err


def test_verbose_tells_how_long_each_phase_took(cluster: Cli, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("phases")
    words = ("run", "-v", "--input", str(tmp_path), "--fetch", "b", "--out-dir", str(tmp_path / "out"))
    said = cluster(*words, "--", "cp", "a", "b").err
    assert "blobs (" in said
    assert "queued " in said
    assert all(f" -> {phase}" in said for phase in ("worker-", "fetch ", "run ", "upload "))
    assert f" -> {tmp_path / 'out' / 'b'}" in said
    assert "(@last)" in said


def test_a_plan_of_a_run_uploads_nothing_and_runs_nothing(cluster: Cli, tmp_path: Path) -> None:
    """Statement 40."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("only planned")
    words = ("run", "--input", str(tmp_path / "in"), "-o", "json")
    planned = valid(cluster(*words, "--dry-run", "--", "cat", "a").document)["item"]
    again = valid(cluster(*words, "--dry-run", "--", "cat", "a").document)["item"]
    assert planned == again
    assert (planned["blobs"], planned["missing_blobs"], planned["cached"]) == (4, 4, False)
    assert all(one["action"] != planned["action"] for one in items(cluster, "ops", "ls", "--state", "completed"))
    done = valid(cluster(*words, "--", "cat", "a").document)["item"]
    assert done["action"] == planned["action"]
    after = valid(cluster(*words, "--dry-run", "--", "cat", "a").document)["item"]
    assert (after["missing_blobs"], after["cached"]) == (0, True)


def test_a_detached_command_goes_on_and_can_be_watched(cluster: Cli, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    command = ("/bin/sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done; exit 4")
    done = cluster("run", "--no-cache", "--detach", "-o", "json", "--", *command)
    item = valid(done.document)["item"]
    assert item["state"] in ("queued", "executing")
    until(lambda: items(cluster, "ops", "ls", "--state", "executing"))
    gate.touch()
    assert "completed exit 4" in cluster("ops", "watch", item["operation"]).out
    assert "--detach brings nothing back" in cluster("run", "--detach", "--fetch", "x", "--", "true", code=125).err


def test_an_action_that_no_worker_can_run_is_refused_before_anything_is_uploaded(cluster: Cli, tmp_path: Path) -> None:
    """Statement 37."""
    (tmp_path / "a").write_text("never uploaded")
    refused = cluster("run", "--input", str(tmp_path), "--platform", "ISA=arm64", "--", "true", code=125)
    assert "NL-QUE-101" in refused.err
    assert "worker-2 offers ISA=x86-64, asked arm64" in refused.err
    stat = cluster("cas", "stat", f"file:{tmp_path / 'a'}", code=3)
    assert "1 of 1 missing" in stat.out + stat.err


def test_a_property_that_restricts_nothing_is_told(cluster: Cli) -> None:
    done = cluster("run", "--platform", "cpu_arch=arm64", "--platform", "ISA=x86-64", "--", "true")
    assert "--platform cpu_arch restricts nothing" in done.err
    assert "--platform ISA" not in done.err

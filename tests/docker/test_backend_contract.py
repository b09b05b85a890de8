"""What every backend keeps, told by the commands alone: the same words, the same ends, whatever runs the parts."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from nlctl.launch.backends.processes import Processes
from nlctl.launch.ledger import Ledger
from tests.nlctl.conftest import Cli, items, until
from tests.nlctl.documents import valid

pytestmark = pytest.mark.real

LIMIT = 600
PATIENT = ("--wait-timeout", "5m")


@dataclass(frozen=True)
class Kept:
    """A cluster on one backend: `flags` are what `up` is told for it."""

    cli: Cli
    name: str
    flags: tuple[str, ...]
    engine: docker.DockerClient | None = None

    def up(self, *words: str, code: int | None = 0) -> dict[str, Any]:
        """What `up` says of this cluster."""
        item: dict[str, Any] = valid(
            self.cli("up", *self.flags, "--name", self.name, *PATIENT, *words, "-o", "json", code=code).document
        )["item"]
        return item

    def ps(self) -> dict[str, dict[str, Any]]:
        """Every part by its name."""
        return {row["name"]: row for row in items(self.cli, "ps")}

    def pids(self) -> dict[str, int]:
        """The first process of each part."""
        return {name: row["pid"] for name, row in self.ps().items()}

    def works(self) -> str:
        """Everything is ready, and an action runs; a word of its command."""
        self.cli("wait", "--for", "ready", "--timeout", "5m")
        word = secrets.token_hex(8)
        assert self.cli("run", "--no-cache", "--", "/bin/sh", "-c", f"echo {word}").out == f"{word}\n"
        return word

    def lose_everything(self) -> None:
        """End all that runs, and whatever would start it again."""
        if self.engine is not None:
            for one in self.engine.containers.list(all=True, filters={"label": f"nlctl.cluster={self.name}"}):
                one.remove(force=True)
            return
        supervisor = Processes(self._ledger).supervisor()
        assert supervisor is not None
        pids = [supervisor, *self.pids().values()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def remains(self) -> list[str]:
        """What there is of the cluster beside the folder of its record, and that folder."""
        left = [str(self._ledger.home)] if self._ledger.home.exists() else []
        if self.engine is not None:
            mine = {"label": f"nlctl.cluster={self.name}"}
            found = (
                *self.engine.containers.list(all=True, filters=mine),
                *self.engine.networks.list(filters=mine),
                *self.engine.volumes.list(filters=mine),
            )
            return left + sorted(str(one.name) for one in found)
        return left + [str(pid) for pid in _processes() if str(self._ledger.home) in _words(pid)]

    @property
    def _ledger(self) -> Ledger:
        return Ledger(self.cli.state / "clusters" / self.name)


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture(scope="module", params=["process", "docker"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """A cluster of two workers on each backend in turn; tests leave it running with two."""
    cli = Cli(tmp_path_factory.mktemp(request.param), limit=LIMIT)
    flags, engine = ("--backend", request.param), None
    if request.param == "docker":
        engine = request.getfixturevalue("engine")
        # By its id: whoever builds the image anew meanwhile changes nothing here.
        flags += ("--image", engine.images.get(request.getfixturevalue("image")).id)
    made = Kept(cli, f"c{secrets.token_hex(4)}", flags, engine)
    said = made.up("--workers", "2", "--base-port", "auto")
    assert [step["sign"] for step in said["steps"]] == ["+"] * 4
    yield made
    cli("down", "--all", "--wipe", "--yes", code=None)
    assert made.remains() == []


def test_every_part_is_ready_and_says_what_it_uses(kept: Kept) -> None:
    rows = kept.ps()
    assert list(rows) == ["cas", "scheduler", "worker-1", "worker-2"]
    for row in rows.values():
        assert row["state"] == "ready"
        assert row["pid"] in _processes()
        assert row["rss_bytes"] > 1 << 20
        assert row["cpu_ms"] > 0
        assert row["processes"] >= 1
        assert Path(row["config"]).exists()
    assert (len(rows["cas"]["ports"]), len(rows["scheduler"]["ports"]), rows["worker-1"]["ports"]) == (1, 2, [])
    assert valid(kept.cli("status", "-o", "json").document)["item"]["verdict"] == "READY"


def test_up_again_changes_nothing(kept: Kept) -> None:
    before = kept.pids()
    assert kept.up("--detailed-exitcode")["changed"] is False
    assert kept.pids() == before


def test_a_plan_that_is_only_shown_changes_nothing(kept: Kept) -> None:
    before = kept.pids()
    said = kept.up("--workers", "3", "--dry-run", "--detailed-exitcode", code=12)
    assert [step["member"] for step in said["steps"] if step["sign"] == "+"] == ["worker-3"]
    assert kept.pids() == before


def test_logs_are_shown_merged_and_followed(kept: Kept) -> None:
    kept.works()
    assert "Executing action" in kept.cli("logs", "--grep", "Executing action").out
    assert kept.cli("logs", "scheduler", "--tail", "1").out.startswith("scheduler\t")
    following = kept.cli.popen("logs", "--follow", "--grep", "Executing action", stdout=subprocess.PIPE)
    try:
        assert following.stdout is not None
        assert following.stdout.readline(), "it shows what there was, and goes on"
        word = kept.works().encode()
        assert any(word in line for line in following.stdout)
    finally:
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=LIMIT)


def test_workers_come_and_go_and_the_others_go_on(kept: Kept) -> None:
    before = kept.pids()
    kept.cli("scale", "3", *PATIENT)
    grown = kept.pids()
    assert grown.keys() - before.keys() == {"worker-3"}
    assert len(items(kept.cli, "workers", "ls")) == 3
    kept.cli("scale", "2", "--deadline", "2m")
    # Any idle worker may go; the youngest does.
    assert kept.pids() == before
    assert kept.cli("logs", "worker-3", "--tail", "1").out, "what a worker said stays when it goes"


def test_a_worker_that_is_drained_takes_no_work_until_it_is_given_back(kept: Kept) -> None:
    kept.cli("workers", "drain", "worker-1")
    states = {row["name"]: row["state"] for row in items(kept.cli, "workers", "ls")}
    assert states == {"worker-1": "draining", "worker-2": "ready"}
    kept.cli("workers", "uncordon", "worker-1")
    kept.works()


def test_a_part_is_started_anew_alone_or_all_one_after_the_other(kept: Kept) -> None:
    before = kept.pids()
    kept.cli("restart", "worker-1", *PATIENT)
    after = kept.pids()
    assert {name for name in after if after[name] != before[name]} == {"worker-1"}
    kept.cli("restart", "--rolling", *PATIENT)
    rolled = kept.pids()
    assert rolled.keys() == before.keys()
    assert not set(rolled.values()) & set(after.values())
    kept.works()


@pytest.mark.parametrize("part", ["cas", "scheduler", "worker-1"])
def test_a_part_that_is_killed_comes_back_by_itself(kept: Kept, part: str) -> None:
    row = kept.ps()[part]
    os.kill(row["pid"], signal.SIGKILL)
    until(lambda: kept.ps()[part]["pid"] not in (row["pid"], None), LIMIT)
    kept.works()
    assert kept.ps()[part]["restarts"] > row["restarts"]
    assert kept.up()["changed"] is False


def test_when_everything_is_lost_the_next_up_brings_it_back_with_its_data(kept: Kept) -> None:
    digest = kept.cli("cas", "put", "-", given="not lost").out.split()[0]
    kept.lose_everything()
    assert kept.up()["changed"] is True
    kept.works()
    assert kept.cli("cas", "get", digest).out == "not lost"


def test_down_keeps_data_and_logs_and_up_finds_them(kept: Kept) -> None:
    digest = kept.cli("cas", "put", "-", given="kept").out.split()[0]
    assert valid(kept.cli("down", "--name", kept.name, "-o", "json").document)["items"][0]["stopped"] == 4
    kept.cli("ps", code=4)
    assert kept.cli("logs", "cas", "--tail", "1").out
    kept.up()
    assert kept.cli("cas", "get", digest).out == "kept"
    kept.works()


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
@pytest.mark.parametrize("moment", [b"step=configs", b"step=workers"], ids=["before parts start", "before they proved"])
def test_up_that_is_ended_in_the_middle_leaves_what_the_next_one_mends(
    kept: Kept, moment: bytes, blow: signal.Signals
) -> None:
    before = kept.pids()
    starting = kept.cli.popen("up", "--workers", "3", *PATIENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert starting.stderr is not None
    for line in starting.stderr:
        if moment in line:
            break
    starting.send_signal(blow)
    starting.communicate(timeout=LIMIT)
    kept.up("--workers", "2")
    assert kept.pids() == before
    kept.works()


def test_of_two_ups_at_once_one_wins_and_nothing_is_made_twice(kept: Kept) -> None:
    both = [kept.cli.popen("up", "--workers", "3", *PATIENT, stderr=subprocess.PIPE) for _ in range(2)]
    said = [one.communicate(timeout=LIMIT)[1].decode() for one in both]
    # On a machine that is busy enough the second begins when the first is done.
    assert sorted(one.returncode for one in both) in ([0, 7], [0, 0]), said
    assert list(kept.ps()) == ["cas", "scheduler", "worker-1", "worker-2", "worker-3"]
    assert kept.up("--workers", "2")["changed"] is True
    kept.works()


def test_wipe_leaves_nothing(kept: Kept) -> None:
    kept.cli("down", "--name", kept.name, "--wipe", "--yes")
    assert kept.remains() == []

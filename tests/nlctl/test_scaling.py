"""More workers, fewer workers, and parts started anew while actions run: no action is lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from nlserver.reapi.client import Client
from nlserver.reapi.endpoint import RetrySpec

from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid

# As Bazel is by default: a part that starts anew on a busy machine may take seconds.
PATIENT = RetrySpec(max_retries=8, delay=0.05, jitter=0.5)


class Stream:
    """Actions that come one after the other, so many at a time, and what became of them."""

    def __init__(self, cli: Cli, count: int, seconds: float, at_once: int) -> None:
        ends = cli("status", "-o", "json", code=None).document["item"]["endpoints"]
        self._ends = {"cas": ends["cas"], "executor": ends["scheduler"]}
        self._shape = (count, seconds, at_once)
        self._begun = threading.Event()
        self.outputs: list[bytes] = []
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Return once some of them have ended."""
        self._thread.start()
        assert self._begun.wait(60)

    def results(self) -> list[bytes]:
        """What each of them wrote, sorted."""
        self._thread.join(120)
        if self.failure is not None:
            raise self.failure
        return sorted(self.outputs)

    def _run(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as error:
            self.failure = error
            self._begun.set()

    async def _all(self) -> None:
        count, seconds, at_once = self._shape
        room = asyncio.Semaphore(at_once)
        async with Client(**self._ends, retry=PATIENT) as client:
            await asyncio.gather(*(self._one(client, room, number, seconds) for number in range(count)))

    async def _one(self, client: Client, room: asyncio.Semaphore, number: int, seconds: float) -> None:
        async with room:
            script = f"sleep {seconds}; printf %s {number:04}"
            done = await client.run(["/bin/sh", "-c", script], salt=os.urandom(8))
            self.outputs.append(done.stdout)
            if len(self.outputs) >= 3:
                self._begun.set()


@contextmanager
def _streaming(cli: Cli, count: int, seconds: float, at_once: int) -> Iterator[None]:
    """A stream that begins before the block, and of which nothing may be missing after it."""
    stream = Stream(cli, count, seconds, at_once)
    stream.start()
    yield
    assert stream.results() == [b"%04d" % number for number in range(count)]


@contextmanager
def _held(cli: Cli, folder: Path, worker: str) -> Iterator[subprocess.Popen[bytes]]:
    """An action that runs on this worker until the block ends, or there is a file called gate."""
    script = f"while [ ! -e {folder}/gate ]; do sleep 0.05; done"
    flags = ("--no-cache", "--platform", f"nlctl-worker={worker}")
    running = cli.popen("run", *flags, "--", "/bin/sh", "-c", script)
    try:
        while not cli("ops", "ls", "-q", "--state", "executing").out:
            assert running.poll() is None
        yield running
    finally:
        (folder / "gate").touch()
        assert running.wait(60) == 0


def _states(cli: Cli) -> dict[str, str]:
    return {one["name"]: one["state"] for one in cli("ps", "-o", "json").document["items"]}


def _pids(cli: Cli) -> dict[str, int]:
    return {one["name"]: one["pid"] for one in cli("ps", "-o", "json").document["items"]}


@pytest.mark.slow
def test_a_cluster_that_shrinks_from_five_to_one_loses_no_action(cluster: Cli) -> None:
    """Statement 34."""
    grown = valid(cluster("scale", "5", "-o", "json").document)["item"]
    assert grown["added"] == ["worker-3", "worker-4", "worker-5"]
    before = _pids(cluster)
    with _streaming(cluster, 100, 1.0, 20):
        item = valid(cluster("scale", "workers=1", "-o", "json").document)["item"]
    assert (len(item["removed"]), item["actions_run_again"]) == (4, 0)
    after = _pids(cluster)
    assert len(after) == 3
    assert after.items() <= before.items()
    cluster("scale", "2")


def test_idle_workers_go_first_and_the_youngest_of_them(cluster: Cli, tmp_path: Path) -> None:
    cluster("scale", "4")
    with _held(cluster, tmp_path, "worker-4"):
        item = valid(cluster("scale", "3", "--dry-run", "-o", "json").document)["item"]
    assert item["removed"] == ["worker-3"]
    assert len(_pids(cluster)) == 6
    done = cluster("scale", "2")
    assert "worker-4" in done.err
    assert sorted(_pids(cluster)) == ["cas", "scheduler", "worker-1", "worker-2"]


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--no-drain"], ["--deadline", "0s"]])
def test_what_a_stopped_worker_still_ran_runs_again_on_the_others(cluster: Cli, flags: list[str]) -> None:
    cluster("scale", "3")
    with _streaming(cluster, 24, 0.5, 12):
        cluster("scale", "1", *flags)
    cluster("scale", "2")


def test_scaling_to_what_there_is_changes_nothing(cluster: Cli) -> None:
    before = _pids(cluster)
    item = valid(cluster("scale", "2", "-o", "json").document)["item"]
    assert (item["changed"], item["added"], item["removed"]) == (False, [], [])
    assert _pids(cluster) == before
    assert "is no number" in cluster("scale", "many", code=2).err
    cluster("scale", "501", code=2)


class TestRestart:
    """Parts that start anew."""

    @pytest.mark.slow
    def test_a_rolling_restart_of_everything_loses_no_action(self, cluster: Cli) -> None:
        before = _pids(cluster)
        with _streaming(cluster, 80, 0.5, 6):
            item = valid(cluster("restart", "--rolling", "-o", "json").document)["item"]
        assert [one["name"] for one in item["parts"]] == ["cas", "scheduler", "worker-1", "worker-2"]
        after = _pids(cluster)
        assert after == {one["name"]: one["pid"] for one in item["parts"]}
        assert not set(after.values()) & set(before.values())
        assert {one["state"] for one in cluster("workers", "ls", "-o", "json").document["items"]} <= {"ready", "busy"}

    def test_only_the_asked_parts_start_anew(self, cluster: Cli) -> None:
        before = _pids(cluster)
        cluster("restart", "worker-2", "--dry-run")
        assert _pids(cluster) == before
        cluster("restart", "worker-2")
        after = _pids(cluster)
        assert {name for name in after if after[name] != before[name]} == {"worker-2"}
        cluster("restart", "workers")
        assert {name for name, pid in _pids(cluster).items() if pid != after[name]} == {"worker-1", "worker-2"}
        assert "worker-1, worker-2" in cluster("restart", "worker-9", code=3).err

    def test_restarting_all_at_once_lets_workers_finish_first(self, cluster: Cli, tmp_path: Path) -> None:
        with _held(cluster, tmp_path, "worker-1") as running:
            restarting = cluster.popen("restart", stderr=subprocess.PIPE)
            while _states(cluster)["worker-1"] != "stopping":
                assert restarting.poll() is None
            assert _states(cluster)["cas"] == _states(cluster)["scheduler"] == "ready"
            (tmp_path / "gate").touch()
            assert running.wait(60) == 0
            assert restarting.communicate(timeout=60)[0] is None
        assert restarting.returncode == 0
        assert set(_states(cluster).values()) == {"ready"}


class TestWait:
    """Returning once something holds."""

    def test_what_holds_already_is_no_wait(self, cluster: Cli) -> None:
        words = (
            "--for",
            "ready",
            "--for",
            "idle",
            "--for",
            "workers=2",
            "--for",
            "cas=ready",
            "--for",
            "worker-9=gone",
        )
        item = valid(cluster("wait", *words, "-o", "json").document)["item"]
        assert item["for"] == ["ready", "idle", "workers=2", "cas=ready", "worker-9=gone"]

    def test_an_operation_is_waited_for_until_it_ends(self, cluster: Cli, tmp_path: Path) -> None:
        with _held(cluster, tmp_path, "worker-1"):
            [operation] = cluster("ops", "ls", "-q").out.split()
            late = cluster("wait", "--for", f"op={operation}", "--timeout", "5s", "-o", "json", code=6)
            # On a machine that is very busy the time may be over before the first look.
            assert valid(late.fault)["code"] in ("NL-PRC-209", "NL-NET-103")
            assert late.fault["why"] in (f"op={operation}: it is executing", None)
            waiting = cluster.popen("wait", "--for", f"op={operation}", "--for", "idle")
            (tmp_path / "gate").touch()
            assert waiting.wait(60) == 0
        assert "NL-OPS-101" in cluster("wait", "--for", "op=nobody", code=3).err

    def test_an_object_is_waited_for_until_it_is_there(self, cluster: Cli, tmp_path: Path) -> None:
        (tmp_path / "blob").write_bytes(os.urandom(20))
        waiting = cluster.popen("wait", "--for", f"object=file:{tmp_path}/blob")
        cluster("wait", "--for", f"object=file:{tmp_path}/blob", "--timeout", "1s", code=6)
        assert waiting.poll() is None
        cluster("cas", "put", str(tmp_path / "blob"))
        assert waiting.wait(60) == 0

    def test_what_nobody_can_wait_for_is_said(self, cluster: Cli) -> None:
        assert "is nothing to wait for" in cluster("wait", "--for", "luck", code=2).err
        assert "is nothing to wait for" in cluster("wait", "--for", "cas=happy", code=2).err
        assert "NL-PRC-208" in cluster("wait", "--for", "worker-9=ready", code=3).err

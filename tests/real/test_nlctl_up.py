"""`nlctl up --workers 3` and Bazel: what the README promises."""

from __future__ import annotations

import collections
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.real import build
from tests.real.bazel import Bazel, Run
from tests.real.programs import program
from tests.real.workspace import COMPILE_ERROR, TEST_FAILURE

pytestmark = pytest.mark.real
WORKERS = 3
LIMIT = 240.0
README = Path(__file__).parents[2] / "README.md"


class Cluster:
    """A cluster that `nlctl up` started, with its state below `home`."""

    def __init__(self, home: Path) -> None:
        self._environment = {
            **os.environ,
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_CACHE_HOME": str(home / "cache"),
        }
        self._home = home
        self.endpoints: Mapping[str, str] = {}

    def up(self, workers: int) -> None:
        """Bring it to so many workers."""
        self.endpoints = json.loads(self.nlctl("up", "--workers", str(workers), "-o", "json"))["item"]["endpoints"]

    def nlctl(self, *arguments: str, code: int = 0, folder: Path | None = None) -> str:
        ended = subprocess.run(
            [program("nlctl"), *arguments],
            env=self._environment,
            cwd=folder or self._home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert ended.returncode == code, f"nlctl {' '.join(arguments)} ended with {ended.returncode}:\n{ended.stderr}"
        return ended.stdout

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.nlctl(*arguments, "-o", "json"))["items"]
        return items

    def executed(self) -> Mapping[str, int]:
        """How many actions each worker ran, counted as the guide counts them."""
        return collections.Counter(worker for worker, _ in self.executions())

    def executions(self) -> list[tuple[str, str]]:
        """The worker and the operation of each action that was run, in the order of time."""
        lines = [line for line in self.nlctl("logs").splitlines() if "Executing action" in line]
        return [(line.split()[0], re.findall(r"operation=(\S+)", line)[0]) for line in lines]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, bazel: Bazel) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("up"))
    try:
        running.up(WORKERS)
        bazel.workspace.cluster(running.nlctl("bazelrc") + "build --config=nl --jobs=50\n")
        yield running
    finally:
        running.nlctl("down", "--wipe", "--yes")


@pytest.fixture(scope="module")
def first(cluster: Cluster, bazel: Bazel) -> Run:
    return build.builds_everything_remotely(bazel)


def test_the_build_is_right(first: Run, bazel: Bazel) -> None:
    build.outputs_are_right(bazel)


def test_all_workers_executed_actions(first: Run, cluster: Cluster) -> None:
    executed = cluster.executed()
    assert len(executed) == WORKERS
    assert sum(executed.values()) >= first.processes["remote"]


def test_a_second_up_changes_nothing(first: Run, cluster: Cluster) -> None:
    before = cluster.items("ps")
    cluster.up(WORKERS)
    assert [item["pid"] for item in cluster.items("ps")] == [item["pid"] for item in before]


def test_after_clean_everything_is_a_cache_hit(first: Run, bazel: Bazel) -> None:
    build.is_all_cache_hits(bazel, first)
    build.outputs_are_right(bazel)


def test_after_clean_everything_is_a_cache_hit_when_outputs_stay_remote(first: Run, bazel: Bazel) -> None:
    build.is_all_cache_hits(bazel, first, "--remote_download_minimal")
    assert not bazel.output("app/main0").exists()


def test_a_build_whose_outputs_stay_remote_is_executed_by_the_cluster(cluster: Cluster, bazel: Bazel) -> None:
    bazel.clean()
    options = ("--noremote_accept_cached", "--remote_download_minimal")
    run = bazel.run("build", "//app/...", *options)
    assert "remote cache hit" not in run.processes
    assert not bazel.output("app/main0").exists()
    # Asked for by name, a program comes down after all.
    bazel.run("build", "//app:main0", "--remote_download_toplevel")
    build.program_is_right(bazel, 0)


def test_a_failing_test_is_reported_as_a_failing_test(cluster: Cluster, bazel: Bazel) -> None:
    run = bazel.run("test", "//broken:fails", code=3)
    assert TEST_FAILURE in run.text
    assert "FAILED" in next(line for line in run.text.splitlines() if line.startswith("//broken:fails"))


def test_a_compiler_error_is_reported_with_its_text(cluster: Cluster, bazel: Bazel) -> None:
    run = bazel.run("build", "//broken:source", code=1)
    assert f'error: #error "{COMPILE_ERROR}"' in run.text


def test_the_exit_code_and_the_words_of_a_failing_action_come_back(cluster: Cluster, bazel: Bazel) -> None:
    run = bazel.run("build", "//broken:exits_7", code=1)
    assert "(Exit 7)" in run.text
    assert "seven reasons" in run.text


def test_a_build_finishes_although_a_worker_is_killed_and_the_worker_comes_back(
    cluster: Cluster, bazel: Bazel, tmp_path: Path
) -> None:
    bazel.clean()
    before = sum(cluster.executed().values())
    said = tmp_path / "bazel.log"
    with said.open("w") as output:
        building = bazel.start("build", "//slow:all", "//app/...", "--noremote_accept_cached", output=output)
        _wait(lambda: sum(cluster.executed().values()) > before + 30)
        victim = next(item for item in cluster.items("ps") if item["name"] == "worker-1")
        os.kill(victim["pid"], signal.SIGKILL)
        assert building.poll() is None, "the build was over before the worker was killed"
        code = building.wait(LIMIT)
    assert code == 0, said.read_text()
    build.slow_actions_are_right(bazel)
    build.programs_are_right(bazel)
    _wait(lambda: len(cluster.items("workers", "ls")) == WORKERS)
    assert next(item for item in cluster.items("ps") if item["name"] == "worker-1")["pid"] != victim["pid"]


def test_a_drained_worker_loses_no_action_in_a_running_build(cluster: Cluster, bazel: Bazel, tmp_path: Path) -> None:
    _wait(lambda: len(cluster.items("workers", "ls")) == WORKERS)
    bazel.clean()
    before = len(cluster.executions())
    said = tmp_path / "bazel.log"
    with said.open("w") as output:
        building = bazel.start("build", "//slow:all", "//app/...", "--noremote_accept_cached", output=output)
        while sum(worker == "worker-1" for worker, _ in cluster.executions()[before:]) < 5:
            assert building.poll() is None, "the build was over before the worker was at work"
            time.sleep(0.1)
        cluster.nlctl("workers", "drain", "worker-1")
        drained = len([one for one in cluster.executions() if one[0] == "worker-1"])
        assert building.poll() is None, "the build was over before the worker was drained"
        code = building.wait(200)
    assert code == 0, said.read_text()
    build.slow_actions_are_right(bazel)
    build.programs_are_right(bazel)
    ran = cluster.executions()
    assert len([one for one in ran if one[0] == "worker-1"]) == drained, "a drained worker was given work"
    operations = [operation for _, operation in ran[before:]]
    assert len(operations) == len(set(operations)) == Run(code, said.read_text()).processes["remote"]
    cluster.nlctl("workers", "uncordon", "worker-1")
    assert {one["state"] for one in cluster.items("workers", "ls")} == {"ready"}


def test_the_python_example_of_the_readme_runs(cluster: Cluster, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    for part, default in (("cas", "50051"), ("scheduler", "50052")):
        example = example.replace(f"grpc://127.0.0.1:{default}", cluster.endpoints[part])
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.txt").write_text("one\ntwo\n")
    (tmp_path / "src/b.txt").write_text("three\n")
    for cached in ("False", "True"):
        ran = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.stdout.split() == ["0", cached], ran.stderr
        assert (tmp_path / "out/lines").read_text().strip() == "3"


def _wait(holds: Any) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


LOGS = {
    "grpc": "--experimental_remote_grpc_log",
    "profile": "--profile",
    "execution": "--execution_log_json_file",
    "events": "--build_event_json_file",
}


def test_the_doctor_reads_every_log_of_a_build_that_failed(cluster: Cluster, bazel: Bazel, tmp_path: Path) -> None:
    bazel.clean()
    run = bazel.run("build", "//broken:exits_7", *(f"{flag}={tmp_path / kind}" for kind, flag in LOGS.items()), code=1)
    (tmp_path / "text").write_text(run.text)
    items = {}
    for kind in ("text", *LOGS):
        words = ("doctor", "bazel", str(tmp_path / kind), "-o", "json")
        items[kind] = json.loads(cluster.nlctl(*words, code=0 if kind == "profile" else 5))["item"]
        assert (items[kind]["kind"], items[kind]["cut_off"]) == (kind, False)
    for kind in set(items) - {"profile"}:
        assert items[kind]["first_error"]["cause"] == "COMMAND_FAILED", kind
    calls = {one["method"]: one for one in items["grpc"]["calls"]}
    assert calls["Execution/Execute"]["statuses"] == {"OK": 1}
    assert {one["name"] for one in items["grpc"]["phases"]} >= {"queued", "execution"}
    assert any(one["name"] == "phase: Build artifacts" for one in items["profile"]["phases"])
    [action] = items["grpc"]["first_error"]["digests"][-1:]
    told = json.loads(cluster.nlctl("doctor", "action", action, "-o", "json", code=5))["item"]
    assert (told["verdict"], told["exit_code"]) == ("COMMAND_FAILED", 7)


def test_the_doctor_finds_the_log_of_the_last_build_by_itself(cluster: Cluster, bazel: Bazel) -> None:
    bazel.run("build", "//broken:exits_7", code=1)
    said = cluster.nlctl("doctor", "bazel", code=5, folder=bazel.workspace.root)
    assert "command.log: text" in said.splitlines()[0]
    assert "COMMAND_FAILED" in said

"""What operators ask and change while a cluster works: workers, operations, queues, stores, events."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.nlctl.conftest import LIMIT, Cli, items, until


class TestWorkers:
    """Draining, cordoning, matching."""

    def test_a_drain_waits_for_what_runs_and_loses_nothing(
        self, cluster: Cli, held: tuple[subprocess.Popen[bytes], Path]
    ) -> None:
        running, gate = held
        draining = cluster.popen("workers", "drain", "worker-1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        states = lambda: {one["name"]: one["state"] for one in items(cluster, "workers", "ls")}  # noqa: E731
        assert until(lambda: states() if states()["worker-1"] == "draining" else None)["worker-2"] == "ready"
        assert draining.poll() is None
        gate.touch()
        assert running.communicate(timeout=LIMIT)[0] == b"passed\n"
        _, said = draining.communicate(timeout=LIMIT)
        assert draining.returncode == 0
        assert b"state=idle" in said
        assert b"undo: nlctl workers uncordon worker-1" in said
        cluster("workers", "uncordon", "worker-1")
        assert states() == {"worker-1": "ready", "worker-2": "ready"}

    def test_ctrl_c_ends_the_waiting_and_not_the_drain(
        self, cluster: Cli, held: tuple[subprocess.Popen[bytes], Path]
    ) -> None:
        """Statement 35."""
        draining = cluster.popen("workers", "drain", "worker-1", stderr=subprocess.PIPE)
        assert draining.stderr is not None
        assert b"takes no new work" in draining.stderr.readline()
        draining.send_signal(signal.SIGINT)
        assert draining.wait(LIMIT) == 130
        draining.stderr.close()
        [one] = [one for one in items(cluster, "workers", "ls") if one["name"] == "worker-1"]
        assert one["state"] == "draining"
        late = cluster("workers", "drain", "worker-1", "--deadline", "100ms", code=6)
        assert "NL-WRK-102" in late.err
        cluster("workers", "uncordon", "worker-1")

    def test_a_cordoned_worker_gets_nothing_and_the_others_do(self, cluster: Cli) -> None:
        cluster("workers", "cordon", "worker-1")
        try:
            ran = cluster("run", "--no-cache", "-o", "json", "--", "true").document["item"]
            assert ran["worker"].startswith("worker-2")
        finally:
            cluster("workers", "uncordon", "worker-1")

    def test_a_dry_run_of_a_drain_changes_nothing(self, cluster: Cli) -> None:
        cluster("workers", "drain", "worker-1", "--dry-run")
        assert {one["state"] for one in items(cluster, "workers", "ls")} == {"ready"}

    @pytest.mark.parametrize("words", [("drain", "--dry-run"), ("drain",), ("cordon",), ("uncordon",)])
    def test_an_unknown_worker_is_exit_3_and_the_known_are_named(self, cluster: Cli, words: tuple[str, ...]) -> None:
        done = cluster("workers", *words, "worker-9", "worker-1", code=3)
        assert "no worker 'worker-9' is connected" in done.err
        assert "worker-1, worker-2" in done.err
        assert {one["state"] for one in items(cluster, "workers", "ls")} == {"ready"}

    def test_matching_tells_of_each_worker(self, cluster: Cli) -> None:
        rows = items(cluster, "workers", "match", "nlctl-worker=worker-2")
        assert {one["worker"]: one["verdict"] for one in rows} == {"worker-1": "never", "worker-2": "now"}
        done = cluster("workers", "match", "ISA=arm64", code=3)
        assert "offers ISA=x86-64, asked arm64" in done.err
        assert "is not NAME=VALUE" in cluster("workers", "match", "ISA", code=2).err


class TestOperations:
    """Listing, explaining, cancelling."""

    def test_what_runs_is_listed_with_its_worker_and_action(
        self, cluster: Cli, held: tuple[subprocess.Popen[bytes], Path]
    ) -> None:
        [one] = items(cluster, "ops", "ls")
        assert (one["state"], one["worker"], one["unsatisfiable"]) == ("executing", "worker-1", False)
        assert cluster("ops", "ls", "-q").out.split() == [one["id"]]
        assert cluster("cas", "stat", "{hash}/{size_bytes}".format(**one["action"])).code == 0
        assert "executes on worker-1" in cluster("queue", "explain", one["id"]).err
        [queue] = items(cluster, "queue", "ls")
        assert (queue["queued"], queue["executing"], queue["workers"]) == (0, 1, 1)

    def test_a_cancelled_action_ends_for_its_client_and_frees_the_worker(
        self, cluster: Cli, held: tuple[subprocess.Popen[bytes], Path]
    ) -> None:
        running, _ = held
        [one] = items(cluster, "ops", "ls")
        assert cluster("ops", "cancel", one["id"], "--dry-run", "-o", "json").document["item"]["cancelled"] == [
            one["id"]
        ]
        assert running.poll() is None
        assert cluster("ops", "cancel", one["id"], "-q").out.split() == [one["id"]]
        assert running.wait(LIMIT) == 125
        until(lambda: all(not row["running"] for row in items(cluster, "workers", "ls")))
        again = cluster("ops", "cancel", one["id"], "nobody", code=11)
        assert "had ended already" in again.err
        assert "NL-OPS-101" in cluster("ops", "cancel", "nobody", code=3).err

    def test_what_no_worker_can_run_is_explained(self, cluster: Cli) -> None:
        cluster("workers", "cordon", "worker-2")
        waiting = cluster.popen("run", "--no-cache", "--platform", "nlctl-worker=worker-2", "--", "true")
        try:
            [one] = until(lambda: items(cluster, "ops", "ls", "--state", "queued"))
            done = cluster("queue", "explain", one["id"], "-o", "json")
            assert {row["worker"]: row["verdict"] for row in done.document["items"]} == {
                "worker-1": "never",
                "worker-2": "busy",
            }
            assert "worker-2 is draining" in done.document["summary"]
            [queue] = items(cluster, "queue", "ls")
            assert (queue["queued"], queue["workers"], queue["free_workers"]) == (1, 1, 0)
        finally:
            cluster("workers", "uncordon", "worker-2")
            assert waiting.wait(LIMIT) == 0

    def test_unknown_states_and_operations_are_said(self, cluster: Cli) -> None:
        assert "is no state" in cluster("ops", "ls", "--state", "asleep", code=2).err
        assert "NL-OPS-101" in cluster("queue", "explain", "nobody", code=3).err


class TestStores:
    """Tracing and listing."""

    def test_a_blob_is_traced_into_the_workers_fast_tiers(self, cluster: Cli, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "file").write_text("traced")
        digest = f"{hashlib.sha256(b'traced').hexdigest()}/6"
        cluster("run", "--no-cache", "--input", str(tmp_path / "in"), "--", "/bin/cat", "file")
        found = cluster("cas", "why", digest, "-o", "json").document
        assert found["digest"]["size_bytes"] == 6
        states = {(one["part"], one["path"]): one["state"] for one in found["items"]}
        assert states["cas", "CAS_STORE"] == "present"
        assert states["cas", "AC_STORE"] == "absent"
        workers = [state for (part, path), state in states.items() if part.startswith("worker") and "/fast" in path]
        assert "present" in workers

    def test_what_is_nowhere_is_exit_3(self, cluster: Cli) -> None:
        done = cluster("cas", "why", f"{'ab' * 32}/7", code=3)
        assert "present in 0 of" in done.err
        assert "no store has evicted it" in done.err

    def test_the_cas_lists_what_it_holds(self, cluster: Cli) -> None:
        put = cluster("cas", "put", "-q", "-", given="listed by name").out.strip()
        rows = items(cluster, "cas", "ls", put[:12])
        assert [(one["key"], one["size_bytes"]) for one in rows] == [(put.replace("/", "-"), 14)]
        assert len(cluster("cas", "ls", "--limit", "1", "-q").out.splitlines()) == 1
        done = cluster("cas", "ls", "--store", "cas:NOWHERE", code=3)
        assert "NL-STO-101" in done.err
        assert "cas:CAS_STORE" in done.err


class TestEvents:
    """What happened, and what happens."""

    def test_events_of_all_parts_come_in_order_of_time(self, cluster: Cli) -> None:
        lines = [json.loads(line) for line in cluster("events", "-o", "jsonl").out.splitlines()]
        assert [one["when"] for one in lines] == sorted(one["when"] for one in lines)
        assert {one["part"] for one in lines} == {"cas", "scheduler", "worker-1", "worker-2"}
        registered = [one for one in lines if one["event"] == "Worker registered"]
        assert {one["part"] for one in registered} == {"scheduler"}
        assert "is no level" in cluster("events", "--level", "loud", code=2).err

    def test_following_shows_what_happens(self, cluster: Cli) -> None:
        following = cluster.popen("events", "-f", "-o", "jsonl", stdout=subprocess.PIPE)
        assert following.stdout is not None
        following.stdout.readline()
        cluster("run", "--no-cache", "--", "true")
        for line in following.stdout:
            event = json.loads(line)
            if event["event"] == "Executing action":
                break
        assert event["part"].startswith("worker-")
        following.send_signal(signal.SIGINT)
        assert following.wait(LIMIT) == 130
        following.stdout.close()


def test_a_server_of_others_is_exit_10_with_a_substitute(cluster: Cli) -> None:
    cas = json.loads(cluster("status", "-o", "json").out)["item"]["endpoints"]["cas"]
    for words in (["workers", "drain", "w"], ["ops", "ls"], ["queue", "ls"], ["events"], ["cas", "ls"]):
        done = cluster(*words, "--endpoint", cas, code=10)
        assert "NL-NET-105" in done.err
        assert "Traceback" not in done.err

"""Single workers, operations and queues: shown, watched, chosen by who asked."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.nlctl.conftest import LIMIT, Cli, items, until
from tests.nlctl.documents import valid, valid_lines

Held = tuple[subprocess.Popen[bytes], Path]
NOBODY = "00000000-0000-0000-0000-000000000000"


class TestWorkers:
    """One of them in full."""

    def test_the_list_tells_what_each_runs_and_what_its_fast_tier_holds(self, cluster: Cli, held: Held) -> None:
        one, other = items(cluster, "workers", "ls")
        assert (one["name"], one["slots"], other["slots"], other["oldest"]) == ("worker-1", "1/-", "0/-", None)
        assert [one["oldest"]["operation"]] == one["operations"]
        assert one["fast_tier_max_bytes"] == 10**10
        shown = cluster("workers", "ls", "-o", "table").out
        assert one["oldest"]["action"]["hash"][:8] in shown
        assert "FAST TIER" in shown.splitlines()[0]

    def test_one_is_shown_with_all_that_it_runs(self, cluster: Cli, held: Held) -> None:
        item = valid(cluster("workers", "show", "worker-1", "-o", "json").document)["item"]
        [running] = item["operations"]
        assert (running["worker"], running["state"]) == ("worker-1", "executing")
        assert item["properties"]["nlctl-worker"] == ["worker-1"]
        assert running["id"] in cluster("workers", "show", item["id"]).out
        assert "NL-WRK-101" in cluster("workers", "show", "worker-9", code=3).err

    def test_logs_of_one_are_those_of_its_part(self, cluster: Cli) -> None:
        lines = cluster("workers", "logs", "worker-1").out.splitlines()
        assert lines
        assert all(line.startswith("worker-1") for line in lines)

    @pytest.mark.parametrize("verb", ["cordon", "uncordon"])
    def test_a_dry_run_of_a_cordon_changes_nothing(self, cluster: Cli, verb: str) -> None:
        """Statement 40."""
        done = cluster("workers", verb, "worker-1", "--dry-run", "-o", "json")
        assert valid(done.document)["item"]["dry_run"] is True
        assert {one["state"] for one in items(cluster, "workers", "ls")} == {"ready"}


class TestKill:
    """Ending one at once."""

    def test_it_is_refused_where_nobody_can_be_asked(self, cluster: Cli, held: Held) -> None:
        """Statement 41."""
        running, _ = held
        refused = cluster("workers", "kill", "worker-1", code=2)
        assert "NL-USE-104" in refused.err
        assert "1 action" in refused.err
        assert "--yes" in refused.err
        assert running.poll() is None

    def test_a_dry_run_tells_what_would_die_and_ends_nothing(self, cluster: Cli, held: Held) -> None:
        """Statement 40."""
        running, _ = held
        item = valid(cluster("workers", "kill", "worker-1", "-n", "-o", "json").document)["item"]
        [one] = item["workers"]
        assert (item["dry_run"], one["name"], len(one["operations"])) == (True, "worker-1", 1)
        assert {one["name"]: one["state"] for one in items(cluster, "workers", "ls")}["worker-1"] == "ready"
        assert running.poll() is None

    def test_what_a_killed_worker_ran_is_run_again_and_it_comes_back(self, cluster: Cli, held: Held) -> None:
        running, gate = held
        before = {one["name"]: one["pid"] for one in items(cluster, "ps")}
        done = cluster("workers", "kill", "worker-1", "--yes", "-o", "json")
        assert valid(done.document)["item"]["workers"][0]["pid"] == before["worker-1"]
        until(lambda: [one for one in items(cluster, "ops", "ls", "--state", "executing") if one["attempts"] == 1])
        gate.touch()
        assert running.communicate(timeout=LIMIT)[0] == b"passed\n"
        after = {one["name"]: one["pid"] for one in items(cluster, "ps")}
        assert after["worker-1"] != before["worker-1"]
        assert after["worker-2"] == before["worker-2"]

    def test_an_unknown_worker_and_an_unknown_signal_are_said(self, cluster: Cli) -> None:
        assert "NL-WRK-101" in cluster("workers", "kill", "worker-9", "--yes", code=3).err
        assert "is no signal" in cluster("workers", "kill", "worker-1", "--signal", "NICE", code=2).err


class TestAdd:
    """More of them, with properties of their own."""

    def test_a_worker_with_a_property_of_its_own_comes_and_the_others_stay(self, cluster: Cli) -> None:
        before = {one["name"]: one["pid"] for one in items(cluster, "ps")}
        refused = cluster("run", "--platform", "ISA=arm64", "-o", "json", "--", "true", code=125).fault
        add = next(one["command"] for one in refused["fix"] if "add" in one["command"])
        planned = valid(cluster(*add[1:], "--dry-run", "-o", "json").document)["item"]
        assert (planned["added"], planned["properties"]) == (["worker-3"], {"ISA": ["arm64"]})
        assert {one["name"] for one in items(cluster, "ps")} == before.keys()
        try:
            assert valid(cluster(*add[1:], "-o", "json").document)["item"]["added"] == ["worker-3"]
            ran = cluster("run", "--platform", "ISA=arm64", "-o", "json", "--", "true").document["item"]
            assert ran["worker"].startswith("worker-3")
            after = {one["name"]: one["pid"] for one in items(cluster, "ps")}
            assert {name: after[name] for name in before} == before
            assert cluster("up").err.count("already matches") == 1
        finally:
            cluster("scale", "2")
        assert {one["name"]: one["pid"] for one in items(cluster, "ps")} == before

    def test_a_name_that_the_scheduler_does_not_know_is_compared_from_then_on(self, cluster: Cli, held: Held) -> None:
        running, gate = held
        words = ("workers", "add", "--property", "gpu=a100")
        refused = cluster(*words, code=2)
        assert "NL-USE-104" in refused.err
        assert "1 actions that wait or run begin again" in refused.err
        gate.touch()
        running.communicate(timeout=LIMIT)
        until(lambda: not items(cluster, "ops", "ls"))
        before = {one["name"]: one["pid"] for one in items(cluster, "ps")}
        try:
            cluster(*words)
            rows = items(cluster, "workers", "match", "gpu=a100")
            assert {one["worker"] for one in rows if one["verdict"] == "now"} == {"worker-3"}
            changed = {one["name"]: one["pid"] for one in items(cluster, "ps")}
            assert {name for name in before if changed[name] != before[name]} == {"scheduler"}
        finally:
            cluster("scale", "2")
        assert {one["name"]: one["pid"] for one in items(cluster, "ps")}["scheduler"] == changed["scheduler"]

    def test_no_property_and_no_number_are_said(self, cluster: Cli) -> None:
        assert "cannot be" in cluster("workers", "add", "--property", "gpu", code=2).err
        assert "NL-USE-101" in cluster("workers", "add", "0", code=2).err


class TestOperations:
    """One of them in full, as it goes, and those of one client."""

    def test_one_is_found_by_its_first_digits_and_by_its_action(self, cluster: Cli, held: Held) -> None:
        [one] = items(cluster, "ops", "ls")
        action = "{hash}/{size_bytes}".format(**one["action"])
        for text in (one["id"], one["id"][:8], f"operations/{one['id']}", action):
            item = valid(cluster("ops", "show", text, "-o", "json").document)["item"]
            assert (item["id"], item["state"], item["ending"]) == (one["id"], "executing", None)
        assert "executing (worker-1)" in cluster("ops", "show", one["id"][:8]).out

    @pytest.mark.parametrize("words", [("ops", "show"), ("ops", "watch"), ("queue", "explain")])
    def test_what_nobody_knows_is_exit_3(self, cluster: Cli, words: tuple[str, ...]) -> None:
        for text in (NOBODY, "nobody"):
            assert "NL-OPS-101" in cluster(*words, text, code=3).err

    def test_one_is_watched_until_it_has_ended(self, cluster: Cli, held: Held) -> None:
        _, gate = held
        [one] = items(cluster, "ops", "ls")
        watching = cluster.popen("ops", "watch", one["id"], "-o", "jsonl", stdout=subprocess.PIPE)
        assert watching.stdout is not None
        first = watching.stdout.readline()
        gate.touch()
        rest, _ = watching.communicate(timeout=LIMIT)
        assert watching.returncode == 0
        lines = valid_lines((first + rest).decode())
        assert [line["state"] for line in lines] == ["executing", "completed"]
        assert lines[-1]["ending"]["exit_code"] == 0
        assert "completed exit 0 in" in cluster("ops", "watch", one["id"]).out

    def test_all_are_watched_until_ctrl_c(self, cluster: Cli) -> None:
        watching = cluster.popen("ops", "watch", "-o", "jsonl", stdout=subprocess.PIPE)
        assert watching.stdout is not None
        until(lambda: cluster("run", "--no-cache", "--", "false", code=1) and _is_readable(watching))
        seen = [json.loads(watching.stdout.readline())]
        while seen[-1]["state"] != "completed":
            seen.append(json.loads(watching.stdout.readline()))
        assert seen[-1]["ending"]["exit_code"] == 1
        watching.send_signal(signal.SIGINT)
        assert watching.wait(LIMIT) == 130
        watching.stdout.close()

    def test_all_of_one_client_are_cancelled_and_no_others(self, cluster: Cli, held: Held) -> None:
        running, _ = held
        [one] = items(cluster, "ops", "ls")
        assert one["invocation"]
        none = cluster("ops", "cancel", "--invocation", "of-nobody", "-o", "json").document
        assert valid(none)["item"]["cancelled"] == []
        assert items(cluster, "ops", "ls", "--invocation", "of-nobody") == []
        young = cluster("ops", "cancel", "--invocation", one["invocation"], "--older-than", "1h", "-q")
        assert young.out.strip() == ""
        assert running.poll() is None
        would = cluster("ops", "cancel", "--older-than", "0s", "--dry-run", "-q")
        assert would.out.split() == [one["id"]]
        done = cluster("ops", "cancel", "--invocation", one["invocation"], "-o", "json").document
        assert valid(done)["item"]["cancelled"] == [one["id"]]
        assert running.wait(LIMIT) == 125

    def test_cancelling_needs_ids_or_a_choice_and_not_both(self, cluster: Cli) -> None:
        assert "say which operations" in cluster("ops", "cancel", code=2).err
        assert "say which operations" in cluster("ops", "cancel", "x", "--older-than", "1s", code=2).err


class TestQueues:
    """One of them in full."""

    def test_a_queue_is_shown_with_its_operations_and_every_worker(self, cluster: Cli, held: Held) -> None:
        item = valid(cluster("queue", "show", "nlctl-worker=worker-1", "-o", "json").document)["item"]
        assert (item["queued"], item["executing"]) == (0, 1)
        assert {one["worker"]: one["verdict"] for one in item["workers"]} == {"worker-1": "now", "worker-2": "never"}
        assert [one["state"] for one in item["operations"]] == ["executing"]
        assert item["operations"][0]["id"] in cluster("queue", "show").out
        assert "NL-QUE-102" in cluster("queue", "show", "ISA=arm64", code=3).err

    def test_what_will_wait_for_ever_is_told_with_the_worker_that_would_help(self, cluster: Cli) -> None:
        cluster("workers", "add", "--property", "ISA=arm64")
        try:
            cluster("workers", "cordon", "worker-3")
            words = ("run", "--no-cache", "--platform", "ISA=arm64", "--", "true")
            waiting = cluster.popen(*words, stderr=subprocess.PIPE)
            [one] = until(lambda: items(cluster, "ops", "ls", "--state", "queued"))
        finally:
            cluster("scale", "2")
        until(lambda: items(cluster, "ops", "ls", "--state", "queued")[0]["unsatisfiable"])
        done = cluster("queue", "explain", one["id"], code=5)
        assert "it will wait for ever" in done.err
        assert "nlctl workers add --property ISA=arm64" in done.err
        assert cluster("queue", "ls", code=5).out
        cluster("ops", "cancel", one["id"])
        waiting.communicate(timeout=LIMIT)
        assert waiting.returncode == 125

    def test_an_action_that_nobody_submitted_is_explained_by_its_digest(self, cluster: Cli) -> None:
        action = cluster("run", "-o", "json", "--", "true").document["item"]["action"]
        text = "{hash}/{size_bytes}".format(**action)
        until(lambda: not items(cluster, "ops", "ls"))
        found = valid(cluster("queue", "explain", text, "-o", "json").document)
        assert {one["worker"] for one in found["items"]} <= {"worker-1", "worker-2"}
        rows = items(cluster, "workers", "match", "@last")
        assert {one["verdict"] for one in rows} == {"now"}


def _is_readable(process: subprocess.Popen[bytes]) -> bool:
    import select

    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0)[0])

"""A whole cluster under `nlctl`: every command against it, and what `up` and `down` promise."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from nlserver.reapi.client import Client
from nlserver.reapi.digest import Digest

from nlctl import VERSION
from tests.nlctl.conftest import Cli, Done
from tests.nlctl.documents import valid

HELLO = hashlib.sha256(b"hello\n").hexdigest()


def _pids(cli: Cli, *words: str) -> dict[str, int]:
    return {one["name"]: one["pid"] for one in cli("ps", "-o", "json", *words).document["items"]}


def _digest(shown: Mapping[str, Any]) -> Digest:
    return Digest(shown["hash"], shown["size_bytes"])


def _dead(pid: int) -> bool:
    """Whether this process ends; it is waited for."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    import select

    return bool(select.select([descriptor], [], [], 20)[0])


def _reconfigured(cli: Cli, name: str, old: str, new: str) -> None:
    [path] = (cli.state / "clusters").glob(f"*/config/{name}.json5")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_ready_is_said_after_a_canary_ran_on_every_worker(tmp_path: Path) -> None:
    """Statement 33; of 8 what is left."""
    cli = Cli(tmp_path)
    try:
        done = cli("up", "--workers", "2", "--base-port", "auto")
        steps = [line.split()[1] for line in done.err.splitlines() if line.startswith("up step=")]
        assert steps.index("step=canary") > steps.index("step=workers")
        assert "is up in" in done.err
        ran = [line.split("\t")[0] for line in cli("logs").out.splitlines() if "Executing action" in line]
        assert sorted(ran) == ["worker-1", "worker-2"]
        began = time.monotonic()
        pids = _pids(cli)
        supervisor = next((cli.state / "clusters" / "dev" / "run").glob("supervisor.sock"))
        done = cli("down")
        assert time.monotonic() - began < 60
        assert "is down in" in done.err
        assert all(_dead(pid) for pid in pids.values())
        assert not supervisor.exists()
        cli("ps", code=4)
        assert cli("logs", "cas").out
        cli("down", "--wipe", code=2)
        cli("down", "--wipe", "--yes")
        assert not (cli.state / "clusters" / "dev").exists()
    finally:
        cli("down", "--all", "--wipe", "--yes", code=None)


class TestUp:
    """Reconciling a running cluster."""

    def test_a_second_up_changes_nothing(self, cluster: Cli) -> None:
        """Statement 7."""
        before = _pids(cluster)
        began = time.monotonic()
        done = cluster("up", "--workers", "2", "-o", "json")
        assert done.document["item"]["changed"] is False
        assert "already matches" in done.err
        assert _pids(cluster) == before
        assert time.monotonic() - began < 60

    def test_the_cas_is_served_by_as_many_processes_as_asked_and_the_workers_stay(self, cluster: Cli) -> None:
        before = _pids(cluster)
        done = cluster("up", "--workers", "2", "--cas-processes", "2", "-o", "json")
        assert [(one["sign"], one["member"]) for one in done.document["item"]["steps"] if one["sign"] != "="] == [
            ("~", "cas")
        ]
        [cas] = [one for one in cluster("ps", "-o", "json").document["items"] if one["name"] == "cas"]
        assert (cas["state"], cas["processes"]) == ("ready", 2)
        assert cluster("up", "--workers", "2", "-o", "json").document["item"]["cas_processes"] == 2
        assert cluster("run", "--", "/bin/echo", "shared").out == "shared\n"
        cluster("up", "--workers", "2", "--cas-processes", "1")
        after = _pids(cluster)
        assert {name for name in before if before[name] != after[name]} == {"cas"}
        cluster("up", "--cas-processes", "0", code=2)

    def test_workers_are_added_and_removed_and_the_others_stay(self, cluster: Cli) -> None:
        before = _pids(cluster)
        cluster("up", "--workers", "3")
        more = _pids(cluster)
        assert set(more) - set(before) == {"worker-3"}
        assert {name: more[name] for name in before} == before
        cluster("up", "--workers", "2")
        assert _pids(cluster) == before
        assert _dead(more["worker-3"])
        assert len(cluster("workers", "ls", "-q").out.split()) == 2

    def test_without_flags_it_keeps_the_shape(self, cluster: Cli) -> None:
        assert cluster("up", "-o", "json").document["item"]["workers"] == 2

    def test_the_exit_code_tells_on_demand_whether_there_is_a_difference(self, cluster: Cli, tmp_path: Path) -> None:
        cluster("up", "--dry-run", "--detailed-exitcode")
        cluster("up", "--dry-run", "--detailed-exitcode", "--workers", "3", code=12)
        assert len(_pids(cluster)) == 4
        cluster("up", "--backend", "magic", code=2)
        cluster("up", "--config", str(tmp_path), code=2)
        assert "no profile" in Cli(tmp_path)("up", "-n", "--profile", "huge", code=2).err
        planned = valid(Cli(tmp_path)("up", "-n", "--profile", "prod-like", "--base-port", "auto", "--json").document)
        assert planned["item"]["workers"] >= 5

    def test_configs_of_the_user_are_the_templates_and_stay_so(self, cluster: Cli, tmp_path: Path) -> None:
        own = tmp_path / "own"
        own.mkdir()
        text = (Path(__file__).parents[2] / "templates" / "worker.json5").read_text()
        mark = '"container-image": { values: [""] },'
        (own / "worker.json5").write_text(text.replace(mark, mark + ' OSFamily: { values: ["ours"] },'))
        words = ("up", "-n", "--name", "mine", "--base-port", "auto", "--config", str(own))
        assert valid(cluster(*words, "--json").document)["item"]["changed"]

    def test_a_killed_part_alone_is_started_again(self, cluster: Cli) -> None:
        """Statement 28."""
        before = _pids(cluster)
        os.kill(before["worker-2"], signal.SIGKILL)
        assert _dead(before["worker-2"])
        cluster("up")
        after = _pids(cluster)
        assert {name for name in after if after[name] != before[name]} == {"worker-2"}

    def test_an_edited_config_is_kept_and_its_part_restarted(self, cluster: Cli) -> None:
        before = _pids(cluster)
        _reconfigured(
            cluster, "worker-1", '"container-image"', '"edited": { values: ["yes"] },\n          "container-image"'
        )
        _reconfigured(
            cluster, "scheduler", '"container-image": "priority"', '"container-image": "priority", edited: "exact"'
        )
        done = cluster("up", "--dry-run", "-o", "json").document["item"]
        assert {s["member"]: s["sign"] for s in done["steps"]}["worker-1"] == "~"
        cluster("up")
        after = _pids(cluster)
        assert {name for name in after if after[name] != before[name]} == {"worker-1", "scheduler"}
        items = cluster("workers", "ls", "-o", "json").document["items"]
        assert {one["name"]: one["properties"].get("edited") for one in items}["worker-1"] == ["yes"]

    def test_a_wrong_edit_is_refused_before_anything_is_restarted(self, cluster: Cli) -> None:
        before = _pids(cluster)
        _reconfigured(cluster, "worker-2", "work_directory", "work_directorx")
        done = cluster("up", code=13)
        assert "work_directorx" in done.err
        assert _pids(cluster) == before
        _reconfigured(cluster, "worker-2", "work_directorx", "work_directory")
        assert cluster("up", "-o", "json").document["item"]["changed"] is False

    def test_two_ups_at_once_are_one_and_a_conflict_that_names_the_other(self, cluster: Cli) -> None:
        """Statement 30."""
        import fcntl

        with open(cluster.state / "clusters" / "dev" / "lock", "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            lock.write("4242 1 1\n")
            lock.flush()
            done = cluster("up", code=7)
        assert "pid 4242" in done.err

    def test_a_taken_port_names_its_holder_and_the_remedy_works(self, cluster: Cli) -> None:
        """Statement 31."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            base = port if port <= 65000 else port - 10
            done = cluster("up", "--name", "two", "--base-port", str(base), "--dry-run", code=7)
            assert f"pid {os.getpid()}" in done.err
            assert "nlctl up --base-port auto" in done.err
            cluster("up", "--name", "two", "--base-port", "auto", "--dry-run")

    def test_a_failed_start_takes_back_what_it_made_and_shows_the_log(self, tmp_path: Path, cluster: Cli) -> None:
        """Statement 32."""
        blocked = Cli(tmp_path)
        # The CAS cannot make its store where a file stands in the way.
        data = blocked.state / "clusters" / "dev" / "data"
        data.mkdir(parents=True)
        (data / "cas").write_text("in the way")
        done = blocked("up", "--workers", "1", "--base-port", "auto", code=5)
        assert "error[NL-PRC-201]: cas did not start" in done.err
        assert "  | " in done.err
        assert not (blocked.state / "clusters" / "dev").exists()

    @pytest.mark.slow
    def test_keep_on_fail_leaves_it_to_look_into(self, tmp_path: Path) -> None:
        """Statement 32."""
        blocked = Cli(tmp_path)
        data = blocked.state / "clusters" / "dev" / "data"
        data.mkdir(parents=True)
        (data / "cas").write_text("in the way")
        try:
            blocked("up", "--workers", "0", "--base-port", "auto", "--keep-on-fail", code=5)
            assert "backoff" in blocked("ps").out
            status = blocked("status", code=5)
            assert "DEGRADED" in status.out
            (data / "cas").unlink()
            blocked("up")
            assert {one["state"] for one in blocked("ps", "--json").document["items"]} == {"ready"}
        finally:
            blocked("down", "--wipe", "--yes")

    @pytest.mark.slow
    def test_an_interrupted_up_leaves_what_up_and_down_can_handle(self, tmp_path: Path) -> None:
        cli = Cli(tmp_path)
        try:
            for seconds in (0.1, 0.4, 0.9):
                cli("up", "--workers", "1", "--base-port", "auto", "--timeout", f"{seconds}s", code=None)
            killed = cli.popen("up", "--workers", "1", "--base-port", "auto")
            time.sleep(0.5)
            killed.kill()
            killed.wait()
            cli("up", "--workers", "1", "--base-port", "auto")
            cli("status")
        finally:
            cli("down", "--wipe", "--yes", code=None)
        assert list((cli.state / "clusters").iterdir()) == []


class TestLooking:
    """status, ps, logs, workers ls, bazelrc."""

    def test_a_healthy_cluster_says_so_and_exits_0(self, cluster: Cli) -> None:
        done = cluster("status")
        assert "READY" in done.out
        item = valid(cluster("status", "--json").document)["item"]
        assert item["verdict"] == "READY"
        assert item["workers"]["registered"] == 2
        assert item["needs_attention"] == []
        assert [one["name"] for one in item["stores"]] == ["CAS_STORE", "AC_STORE", "ASSET_STORE"]
        cluster("ac", "get", f"{'0' * 64}/1", code=3)
        asked = cluster("status", "--json").document["item"]["results"]
        assert asked["missed"] > item["results"]["missed"]
        assert asked["hit_ratio"] == asked["found"] / (asked["found"] + asked["missed"])
        versions = valid(cluster("version", "--json").document)["item"]["parts"]
        assert {one["name"]: one["version"] for one in versions} == dict.fromkeys(_pids(cluster), VERSION)
        assert f"{VERSION}  cas, scheduler, worker-1" in cluster("version").out
        cluster("run", "--no-cache", "--", "true")
        actions = valid(cluster("status", "--json").document)["item"]["actions"]
        assert 0 < sum(actions["slots"]) == actions["given"]
        assert " given to workers in " in cluster("status").out
        drawn = cluster("status", "--graph").out.splitlines()
        [clients] = [line for line in drawn if "clients -->" in line]
        assert "cas :" in clients
        assert clients.index("scheduler :") > clients.index("<---")
        assert any("worker-1" in line and "worker-2" in line for line in drawn)

    def test_watching_says_again_and_again_how_it_is(self, cluster: Cli) -> None:
        import subprocess

        watching = cluster.popen("status", "-w", "-o", "jsonl", stdout=subprocess.PIPE)
        assert watching.stdout is not None
        for _ in range(2):
            assert valid(json.loads(watching.stdout.readline()))["verdict"] == "READY"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 130
        watching.stdout.close()

    def test_ps_tells_how_much_of_a_processor_a_part_uses(self, cluster: Cli) -> None:
        items = valid(cluster("ps", "-o", "json").document)["items"]
        assert all(one["cpu_percent"] >= 0 for one in items)

    def test_lists_are_whole_lines_of_tabs_in_a_pipe(self, cluster: Cli) -> None:
        rows = [line.split("\t") for line in cluster("ps", TERM="dumb", COLUMNS="20").out.splitlines()]
        assert [row[0] for row in rows] == ["cas", "scheduler", "worker-1", "worker-2"]
        assert len({len(row) for row in rows}) == 1

    def test_workers_offer_their_own_name(self, cluster: Cli) -> None:
        items = cluster("workers", "ls", "-o", "json").document["items"]
        assert [one["properties"]["nlctl-worker"] for one in items] == [["worker-1"], ["worker-2"]]
        assert all(one["state"] == "ready" for one in items)

    def test_logs_are_cut_by_part_number_and_age(self, cluster: Cli) -> None:
        parts = {line.split("\t")[0] for line in cluster("logs").out.splitlines()}
        assert parts >= {"cas", "scheduler", "worker-1", "worker-2"}
        assert len(cluster("logs", "worker-1", "--tail", "2").out.splitlines()) == 2
        assert cluster("logs", "--since", "0s").out == ""
        line = json.loads(cluster("logs", "cas", "--json").out.splitlines()[0])
        assert (line["schema"], line["part"]) == ("nlctl.log/v1", "cas")
        cluster("logs", "nobody", code=3)

    def test_logs_are_cut_by_level_time_and_expression(self, cluster: Cli) -> None:
        assert {json.loads(line)["level"] for line in cluster("logs", "--json").out.splitlines()} >= {"info"}
        assert "Executing" not in cluster("logs", "--level", "error").out
        assert cluster("logs", "--until", "1d").out == cluster("logs", "--since", "2100-01-01").out == ""
        lines = cluster("logs", "--grep", "Worker regis", "--no-prefix").out.splitlines()
        assert lines
        assert all("Worker registered" in line for line in lines)
        cluster("logs", "--level", "loud", code=2)
        cluster("logs", "--grep", "(", code=2)
        cluster("logs", "--since", "yesterday", code=2)

    def test_the_lines_of_one_action_are_found_in_all_parts(self, cluster: Cli) -> None:
        ran = cluster("run", "--no-cache", "-o", "json", "--", "/bin/echo", "traced by its logs").document["item"]
        others = cluster("run", "--no-cache", "-o", "json", "--", "/bin/echo", "another").document["item"]
        digest = ran["action"]["hash"]
        lines = [valid(json.loads(line)) for line in cluster("logs", "--action", digest, "--json").out.splitlines()]
        assert {one["part"].rstrip("0123456789") for one in lines} >= {"scheduler", "worker-"}
        assert all(others["action"]["hash"] not in one["line"] for one in lines)
        [given] = [one["line"] for one in lines if "Action given" in one["line"]]
        facts = dict(word.split("=", 1) for word in given.split() if "=" in word)
        by_operation = cluster("logs", "--op", facts["operation"]).out
        assert by_operation == cluster("logs", "--invocation", facts["invocation"]).out
        assert "traced by its logs" in by_operation
        assert cluster("logs", "worker-1", "worker-2", "--op", facts["operation"]).out in by_operation
        cluster("logs", "--op", "a", "--action", "b", code=2)

    def test_following_logs_shows_what_comes(self, cluster: Cli) -> None:
        import subprocess

        follow = cluster.popen("logs", "-f", "--tail", "0", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert follow.stdout is not None
        try:
            while True:
                # Until it follows, its first lines may be missed; one of these is seen.
                cluster("run", "--no-cache", "--", "true")
                import select

                if select.select([follow.stdout], [], [], 1)[0]:
                    break
            assert b"\t" in follow.stdout.readline()
        finally:
            follow.send_signal(signal.SIGINT)
            assert follow.wait(120) == 130
            follow.stdout.close()

    def test_bazelrc_names_the_endpoints_and_is_written_on_demand(self, cluster: Cli) -> None:
        item = cluster("up", "-o", "json").document["item"]
        text = cluster("bazelrc").out
        # Without it a scheduler that was started again ends the builds that it had (seen with Bazel 4.2).
        assert "--experimental_remote_execution_keepalive" in text
        assert f"build:nl --remote_executor={item['endpoints']['scheduler']}" in text
        cluster("bazelrc", "--write")
        assert (cluster.home / ".bazelrc.nlctl").read_text() == text

    def test_configs_run_by_hand(self, cluster: Cli) -> None:
        import subprocess

        program = Path(__import__("sys").executable).with_name("nlserver")
        configs = sorted((cluster.state / "clusters" / "dev" / "config").glob("*.json5"))
        assert len(configs) >= 4
        subprocess.run([program, "--check", *configs], check=True, capture_output=True, timeout=60)


class TestRun:
    """Commands on workers."""

    def test_output_and_exit_status_come_back(self, cluster: Cli) -> None:
        done = cluster("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7", code=7)
        assert (done.out, done.err) == ("out\n", "err\n")

    @pytest.mark.parametrize("status", [0, 1, 124])
    def test_every_status_below_125_is_the_commands_own(self, cluster: Cli, status: int) -> None:
        """Statement 36."""
        assert cluster("run", "--", "sh", "-c", f"exit {status}", code=status).out == ""

    def test_inputs_go_up_and_outputs_come_back(self, cluster: Cli, tmp_path: Path) -> None:
        (tmp_path / "in" / "sub").mkdir(parents=True)
        (tmp_path / "in" / "sub" / "a").write_text("hello\n")
        out = tmp_path / "out"
        words = ("--input", str(tmp_path / "in"), "--output", "x/b", "--fetch", "c", "--out-dir", str(out))
        done = cluster("run", *words, "-o", "json", "--", "sh", "-c", "cat sub/a > x/b; echo $HOW > c")
        item = done.document["item"]
        assert (out / "x" / "b").read_text() == "hello\n"
        assert (out / "c").exists()
        assert {one["path"]: one["digest"]["hash"] for one in item["outputs"]}["x/b"] == HELLO
        assert item["exit_code"] == 0

    def test_a_second_run_is_a_cache_hit_unless_told_otherwise(self, cluster: Cli) -> None:
        def cached(*words: str) -> bool:
            return bool(cluster("run", *words, "-o", "json", "--", "echo", "cache me").document["item"]["cached"])

        assert [cached(), cached(), cached("--no-cache")] == [False, True, False]

    def test_whoever_does_not_look_up_a_known_result_gets_it_too_while_its_outputs_are_there(
        self, cluster: Cli
    ) -> None:  # EXE-18
        ran = cluster("run", "-o", "json", "--output", "made", "--", "/bin/sh", "-c", "echo 18 > made").document["item"]
        executor = cluster("up", "-o", "json").document["item"]["endpoints"]["scheduler"]
        action, made = _digest(ran["action"]), _digest(ran["outputs"][0]["digest"])

        async def cached() -> bool:
            async with Client(executor=executor) as client, aclosing(client.execute(action)) as states:
                *_, last = [state async for state in states]
            assert last.response is not None
            assert last.response.result.output_files[0].digest.hash == made.hash
            return last.response.cached_result

        assert asyncio.run(cached())
        (cluster.state / "clusters" / "dev" / "data" / "cas" / "content" / "d" / str(made)).unlink()
        assert not asyncio.run(cached())
        assert asyncio.run(cached())

    def test_the_environment_is_what_was_asked(self, cluster: Cli) -> None:
        done = cluster("run", "--env", "A=b c", "--", "sh", "-c", "echo $A $HOME", SECRET="x")
        assert done.out == "b c\n"

    def test_an_action_that_no_worker_can_run_is_refused_at_once(self, cluster: Cli) -> None:
        began = time.monotonic()
        done = cluster("run", "--platform", "ISA=arm64", "--", "true", code=125)
        assert "NL-QUE-101" in done.err
        assert "worker-1 offers ISA=x86-64, asked arm64" in done.err
        assert time.monotonic() - began < 60

    def test_an_action_can_be_aimed(self, cluster: Cli) -> None:
        words = ("run", "--platform", "nlctl-worker=worker-2", "--no-cache", "-o", "json", "--", "true")
        assert cluster(*words).document["item"]["worker"].startswith("worker-2")

    def test_an_action_over_its_time_is_not_run(self, cluster: Cli) -> None:
        done = cluster("run", "--action-timeout", "1s", "--", "sleep", "30", code=125)
        assert "NL-EXE-101" in done.err

    def test_a_command_that_does_not_exist_says_so(self, cluster: Cli) -> None:
        done = cluster("run", "--", "no-such-program", code=None)
        assert done.code in (125, 127)
        assert "no-such-program" in done.err

    def test_a_missing_output_is_told(self, cluster: Cli) -> None:
        assert "left no x" in cluster("run", "--output", "x", "--out-dir", "o", "--", "true").err

    def test_any_server_will_do(self, cluster: Cli) -> None:
        endpoints = cluster("up", "-o", "json").document["item"]["endpoints"]
        done = cluster("--endpoint", endpoints["scheduler"], "run", "--", "echo", "hello")
        assert done.out == "hello\n"

    def test_an_unreachable_server_is_a_failure_of_ours(self, cluster: Cli) -> None:
        """Statement 36."""
        assert "NL-NET-101" in cluster("--endpoint", "grpc://127.0.0.1:1", "run", "--", "true", code=125).err


@pytest.fixture(scope="module")
def blob(cluster: Cli) -> str:
    """The digest of a blob that is there."""
    done = cluster("cas", "put", "-q", "-", given="hello\n")
    assert done.out == f"{HELLO}/6\n"
    return done.out.strip()


class TestCas:
    """Blobs."""

    def test_a_blob_comes_back_by_any_name(self, cluster: Cli, blob: str) -> None:
        for name in (blob, HELLO, HELLO[:12], f"bytestream://x/blobs/{HELLO}/6", f"Object {HELLO}-6 not found"):
            assert cluster("cas", "get", name).out == "hello\n"
        assert cluster("cas", "get", "-", given=f"error: {blob} is lost").out == "hello\n"

    def test_the_same_content_is_uploaded_once(self, cluster: Cli, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "a").write_text(f"{tmp_path}")
        for _ in range(2):
            done = cluster("cas", "put", str(tmp_path), "-o", "json")
        [item] = done.document["items"]
        assert (item["kind"], item["uploaded_bytes"], item["files"]) == ("directory", 0, 1)
        assert "everything was there already" in done.err

    def test_stat_tells_what_is_there_and_exits_3_otherwise(self, cluster: Cli, blob: str) -> None:
        assert cluster("cas", "stat", blob).out == f"{blob}\tyes\n"
        done = cluster("cas", "stat", blob, f"{'0' * 64}/1", "-o", "json", code=3)
        assert [one["present"] for one in done.document["items"]] == [True, False]
        assert done.document["items"][0]["digest"] == {"hash": HELLO, "size_bytes": 6, "function": "sha256"}

    def test_a_file_appears_whole_or_not_at_all(self, cluster: Cli, blob: str, tmp_path: Path) -> None:
        cluster("cas", "get", blob, "-O", str(tmp_path / "good"))
        assert (tmp_path / "good").read_bytes() == b"hello\n"
        assert "NL-CAS-101" in cluster("cas", "get", f"{'0' * 64}/1", "-O", str(tmp_path / "bad"), code=3).err
        assert os.listdir(tmp_path) == ["good"]

    def test_damaged_bytes_are_exit_9_and_no_file(self, cluster: Cli, tmp_path: Path) -> None:
        digest = cluster("cas", "put", "-q", "-", given=os.urandom(64 << 10)).out.strip()
        name = digest.replace("/", "-")
        [stored] = (cluster.state / "clusters" / "dev" / "data" / "cas" / "content" / "d").glob(name)
        stored.chmod(0o644)
        with open(stored, "r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(bytes([first[0] ^ 1]))
        assert "NL-CAS-102" in cluster("cas", "get", digest, "-O", str(tmp_path / "bad"), code=9).err
        assert os.listdir(tmp_path) == []

    def test_the_last_run_can_be_named(self, cluster: Cli) -> None:
        cluster("run", "--", "echo", "remember me")
        assert cluster("cas", "get", "@last.stdout").out == "remember me\n"
        assert cluster("cas", "stat", "@last").out.endswith("yes\n")

    def test_blake3_is_spoken(self, cluster: Cli) -> None:
        done = cluster("cas", "put", "--blake3", "-", "-o", "json", given="hello\n")
        digest = done.document["items"][0]["digest"]
        assert digest["function"] == "blake3"
        assert cluster("cas", "get", f"blake3/{digest['hash']}/6").out == "hello\n"

    def test_a_reader_that_stops_early_is_no_error(self, cluster: Cli) -> None:
        import subprocess

        digest = cluster("cas", "put", "-q", "-", given=b"y\n" * (4 << 20)).out.strip()
        get = cluster.popen("cas", "get", digest, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert get.stdout is not None
        assert get.stderr is not None
        assert get.stdout.readline() == b"y\n"
        get.stdout.close()
        assert get.stderr.read() == b""
        assert get.wait(20) == 141


def test_nothing_in_a_pipe_has_control_characters(cluster: Cli) -> None:
    lines: list[Done] = [
        cluster(*words.split(), GITHUB_ACTIONS="true", TERM="dumb", FORCE_COLOR="")
        for words in ("ps", "status", "workers ls", "logs --tail 5", "bazelrc", "up", "run -- true")
    ]
    assert not any("\x1b" in done.out + done.err or "\r" in done.out + done.err for done in lines)

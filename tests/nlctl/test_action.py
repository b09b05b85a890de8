"""Actions of the CAS: shown, compared, run again, run here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.nlctl.conftest import Cli, items
from tests.nlctl.documents import valid


def _name(digest: dict[str, Any]) -> str:
    return "{hash}/{size_bytes}".format(**digest)


def _run(cluster: Cli, *words: str) -> str:
    """Run a command; the digest of its action."""
    return _name(cluster("run", "-o", "json", *words).document["item"]["action"])


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A directory of two files, a subdirectory and a link."""
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    (root / "a").write_text("one\n")
    (root / "sub" / "b").write_text("two\n")
    (root / "link").symlink_to("a")
    return root


@pytest.fixture
def copied(cluster: Cli, inputs: Path, tmp_path: Path) -> str:
    """An action that copies its inputs into two outputs."""
    words = ("--input", str(inputs), "--fetch", "out/c", "--fetch", "d", "--out-dir", str(tmp_path / "fetched"))
    return _run(cluster, *words, "--", "sh", "-c", "cat a sub/b > out/c; cp a d; echo said")


class TestShow:
    """An action in full."""

    def test_an_action_is_shown_with_its_command_and_its_result(self, cluster: Cli, copied: str) -> None:
        item = valid(cluster("action", "show", copied, "-o", "json").document)["item"]
        assert item["command"]["arguments"][:2] == ["sh", "-c"]
        assert item["command"]["output_paths"] == ["d", "out/c"]
        assert (item["result"]["exit_code"], item["action"]["do_not_cache"]) == (0, False)
        shown = cluster("action", "show", "@last").out
        assert copied in shown
        assert "cat a sub/b > out/c" in shown

    def test_what_is_no_action_and_what_is_missing_are_said(self, cluster: Cli, copied: str) -> None:
        text = cluster("cas", "put", "-q", "-", given="no action").out.strip()
        for verb in ("show", "inputs", "replay", "determinism", "local"):
            assert "NL-CAS-104" in cluster("action", verb, text, code=13).err
            assert "NL-CAS-101" in cluster("action", verb, f"{'ab' * 32}/7", code=3).err

    def test_inputs_are_listed_with_sizes_and_digests(self, cluster: Cli, copied: str) -> None:
        found = valid(cluster("action", "inputs", copied, "-o", "json").document)
        rows = {one["path"]: one for one in found["items"]}
        assert sorted(rows) == ["a", "link", "sub", "sub/b"]
        assert (rows["a"]["size_bytes"], rows["sub"]["size_bytes"], rows["link"]["target"]) == (4, 4, "a")
        assert (found["files"], found["size_bytes"]) == (2, 8)
        assert cluster("action", "inputs", copied, "-q").out.split() == ["sub", "sub/b", "a", "link"]


class TestDiff:
    """Why two actions do not share a cache entry."""

    def test_the_one_field_that_changes_the_key_is_named(self, cluster: Cli) -> None:
        first = _run(cluster, "--env", "EPOCH=1", "--", "echo", "diff")
        second = _run(cluster, "--env", "EPOCH=2", "--", "echo", "diff")
        found = valid(cluster("action", "diff", first, second, "-o", "json", code=12).document)
        [one] = found["items"]
        assert (one["kind"], one["name"], one["before"], one["after"]) == ("env", "EPOCH", "1", "2")
        assert one["alone_changes_the_key"] is True
        assert {"arguments", "platform", "inputs", "salt"} <= set(found["same"])
        assert "this alone changes the key" in cluster("action", "diff", first, second, "-o", "table", code=12).out
        assert "one and the same" in cluster("action", "diff", first, first).err

    def test_inputs_are_compared_down_to_the_file(self, cluster: Cli, inputs: Path) -> None:
        words = ("--input", str(inputs), "--", "cat", "a")
        first = _run(cluster, *words)
        (inputs / "sub" / "b").write_text("TWO\n")
        (inputs / "a").chmod(0o755)
        (inputs / "new").write_text("new")
        second = _run(cluster, "--action-timeout", "5m", *words)
        found = valid(cluster("action", "diff", first, second, "-o", "json", code=12).document)
        rows = {one["part"]: one for one in found["items"]}
        assert rows.keys() == {"input sub/b", "input a", "input new", "timeout_ms"}
        assert rows["input sub/b"]["note"] == "content differs, same size"
        assert rows["input a"]["note"] == "one is executable, the other is not"
        assert (rows["input new"]["before"], rows["timeout_ms"]["after"]) == (None, 300_000)
        assert not any(one["alone_changes_the_key"] for one in found["items"])


class TestReplay:
    """Actions that run again."""

    def test_an_action_runs_again_as_often_as_asked_where_asked(self, cluster: Cli, copied: str) -> None:
        words = ("action", "replay", copied, "--no-cache", "--times", "2", "--on", "worker-2", "-o", "json")
        found = valid(cluster(*words).document)
        assert [(one["run"], one["exit_code"], one["cached"]) for one in found["items"]] == [
            (1, 0, False),
            (2, 0, False),
        ]
        assert all(one["worker"].startswith("worker-2") for one in found["items"])
        assert found["items"][0]["stdout"] == "said\n"
        assert found["performed"] != found["action"]
        cached = valid(cluster("action", "replay", copied, "-o", "json").document)
        assert [one["cached"] for one in cached["items"]] == [True]
        assert cached["performed"] == cached["action"]

    def test_a_dry_run_runs_nothing(self, cluster: Cli, copied: str) -> None:
        """Statement 40."""
        before = {one["name"]: one["completed"] for one in items(cluster, "workers", "ls")}
        for verb in ("replay", "determinism"):
            found = valid(cluster("action", verb, copied, "--dry-run", "--on", "worker-1", "-o", "json").document)
            assert (found["dry_run"], found["items"]) == (True, [])
        assert {one["name"]: one["completed"] for one in items(cluster, "workers", "ls")} == before

    @pytest.mark.parametrize("verb", ["replay", "determinism"])
    def test_aiming_where_workers_have_no_names_is_exit_10(self, cluster: Cli, copied: str, verb: str) -> None:
        cas = json.loads(cluster("status", "-o", "json").out)["item"]["endpoints"]["cas"]
        done = cluster("action", verb, copied, "--on", "worker-1", "--endpoint", cas, code=10)
        assert "NL-NET-105" in done.err
        assert "--platform" in done.err

    def test_what_differs_between_runs_is_named_and_no_result_is_kept(self, cluster: Cli, tmp_path: Path) -> None:
        script = "date +%N > t; echo same > s; mkdir o; date +%N > o/deep; echo same > o/flat"
        words = ("--fetch", "t", "--fetch", "s", "--fetch", "o", "--out-dir", str(tmp_path))
        action = _run(cluster, *words, "--", "sh", "-c", script)
        kept = cluster("action", "show", action, "-o", "json").document["item"]["result"]
        found = valid(cluster("action", "determinism", action, "--times", "3", "-o", "json", code=12).document)
        assert {one["name"] for one in found["items"]} == {"t", "o/deep"}
        assert all(len(one["values"]) == 3 for one in found["items"])
        assert cluster("action", "show", action, "-o", "json").document["item"]["result"] == kept

    def test_what_is_the_same_each_time_is_exit_0(self, cluster: Cli, copied: str) -> None:
        done = cluster("action", "determinism", copied, "--times", "2", "-o", "json")
        assert valid(done.document)["items"] == []


class TestLocal:
    """An action's command, run here."""

    def test_it_runs_here_with_its_inputs_and_its_environment(self, cluster: Cli, copied: str) -> None:
        done = cluster("action", "local", copied, "-o", "json", SECRET="not seen")
        item = valid(done.document)["item"]
        assert (item["exit_code"], item["cached_exit_code"], item["directory"]) == (0, 0, None)
        assert {one["path"]: one["same_as_cached"] for one in item["outputs"]} == {"out/c": True, "d": True}
        assert cluster("action", "local", copied).out == "said\n"

    def test_only_its_own_environment_counts_and_a_failure_is_exit_5(self, cluster: Cli) -> None:
        words = ("run", "-o", "json", "--env", "A=b", "--", "sh", "-c", "echo $A $SECRET $HOME; exit 3")
        action = _name(cluster(*words, code=3).document["item"]["action"])
        done = cluster("action", "local", action, code=5, SECRET="x")
        assert done.out == "b\n"
        assert "ended with 3" in done.err
        assert "unlike a worker" in done.err

    def test_the_directory_stays_when_asked_and_a_shell_needs_a_terminal(
        self, cluster: Cli, copied: str, tmp_path: Path
    ) -> None:
        words = ("action", "local", copied, "--keep", "-o", "json")
        item = cluster(*words, TMPDIR=str(tmp_path)).document["item"]
        assert Path(item["directory"]).is_relative_to(tmp_path)
        assert (Path(item["directory"]) / "out" / "c").read_text() == "one\ntwo\n"
        assert (Path(item["directory"]) / "link").is_symlink()
        assert "--shell needs a terminal" in cluster("action", "local", copied, "--shell", code=2).err

    def test_a_program_that_is_not_here_is_said(self, cluster: Cli, tmp_path: Path) -> None:
        script = tmp_path / "tool"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)
        action = _name(
            cluster("run", "-o", "json", "--input", str(tmp_path), "--", "./tool", code=None).document["item"]["action"]
        )
        assert "NL-EXE-102" in cluster("action", "local", action, code=3).err

"""`nlctl cas` and `nlctl ac` where they write: to disk, to other servers, into stores; and what they refuse."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid

NOWHERE = f"{'0' * 63}1/1"


def name_of(shown: dict[str, object]) -> str:
    return f"{shown['hash']}/{shown['size_bytes']}"


def put(cli: Cli, data: bytes) -> str:
    return cli("cas", "put", "-q", "-", given=data).out.strip()


def stored(cli: Cli, digest: str) -> Path:
    """The file of a blob in the CAS."""
    return cli.state / "clusters" / "dev" / "data" / "cas" / "content" / "d" / digest.replace("/", "-")


def contents(cli: Cli) -> set[str]:
    """Every file of every store of the cluster."""
    data = cli.state / "clusters" / "dev" / "data"
    return {str(path) for part in ("cas", "ac", "workers") for path in (data / part).rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("source")
    (top / "src").mkdir()
    (top / "empty").mkdir()
    (top / "src" / "a.c").write_text(f"int a; // {top}\n")
    (top / "src" / "big").write_bytes(os.urandom(600_000))
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    (top / "out").symlink_to("../../../etc/passwd")
    return top


@pytest.fixture(scope="module")
def tree(cluster: Cli, source: Path) -> str:
    return cluster("cas", "put", "-q", str(source)).out.strip()


@pytest.fixture(scope="module")
def action(cluster: Cli, source: Path) -> str:
    words = ("run", "--input", str(source), "--output=o", "--out-dir", str(cluster.home / "brought"), "-o", "json")
    item = cluster(*words, "--", "sh", "-c", "cat src/a.c > o; echo out").document["item"]
    return name_of(item["action"])


@pytest.fixture(scope="module")
def other(cluster: Cli) -> Iterator[str]:
    """Another cluster, without workers."""
    cluster("up", "--name", "other", "--workers", "0", "--base-port", "auto")
    cluster("context", "use", "dev")
    yield "other"
    cluster("down", "--name", "other", "--wipe", "--yes")


class TestPut:
    """`nlctl cas put`."""

    def test_the_second_time_nothing_is_sent(self, cluster: Cli, tmp_path: Path) -> None:
        """Statement 39."""
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "a").write_text(f"{tmp_path}")
        before = contents(cluster)
        [asked] = valid(cluster("cas", "put", "--dry-run", str(tmp_path), "-o", "json").document)["items"]
        assert asked["state"] == "missing"
        assert contents(cluster) == before
        [first] = valid(cluster("cas", "put", str(tmp_path), "-o", "json").document)["items"]
        done = cluster("cas", "put", str(tmp_path), "-o", "json")
        [again] = valid(done.document)["items"]
        assert (first["state"], first["uploaded_bytes"]) == ("uploaded", asked["uploaded_bytes"])
        assert (again["state"], again["uploaded_bytes"], again["digest"]) == ("already there", 0, first["digest"])
        assert "everything was there already" in done.err

    def test_digests_are_computed_without_a_server(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("a")
        (tmp_path / "d").mkdir()
        words = ("cas", "put", "--no-upload", "--tree", str(tmp_path / "a"), str(tmp_path / "d"), "-o", "json")
        items = valid(cli(*words).document)["items"]
        assert [(one["kind"], one["state"]) for one in items] == [
            ("file", "computed"),
            ("directory", "computed"),
            ("tree", "computed"),
        ]
        assert items[1]["digest"]["size_bytes"] == 0


class TestCheckout:
    """`nlctl cas checkout`."""

    def test_a_directory_comes_back_as_it_was(self, cluster: Cli, tree: str, source: Path, tmp_path: Path) -> None:
        into = tmp_path / "deep" / "out"
        into.mkdir(parents=True)
        item = valid(cluster("cas", "checkout", tree, str(into), "-o", "json").document)["item"]
        assert (item["files"], item["directories"], item["symlinks"]) == (3, 2, 1)
        assert (into / "src" / "big").read_bytes() == (source / "src" / "big").read_bytes()
        assert stat.S_IMODE((into / "run.sh").stat().st_mode) & 0o100
        assert not stat.S_IMODE((into / "src" / "a.c").stat().st_mode) & 0o111
        assert (into / "empty").is_dir()
        assert os.readlink(into / "out") == "../../../etc/passwd"
        assert os.listdir(tmp_path / "deep") == ["out"]
        assert cluster("cas", "put", "-q", str(into)).out.strip() == tree

    def test_what_is_there_is_never_mixed_with(self, cluster: Cli, tree: str, tmp_path: Path) -> None:
        (tmp_path / "own").write_text("mine")
        assert (
            valid(cluster("cas", "checkout", tree, str(tmp_path), "-o", "json", code=7).fault)["code"] == "NL-CAS-106"
        )
        cluster("cas", "checkout", tree, str(tmp_path / "own"), code=7)
        (tmp_path / "link").symlink_to(".")
        cluster("cas", "checkout", tree, str(tmp_path / "link"), code=7)

    def test_half_a_directory_is_never_left(self, cluster: Cli, tmp_path: Path) -> None:
        """Statement 38."""
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a").write_bytes(os.urandom(500))
        (tmp_path / "in" / "b").write_bytes(os.urandom(300_000))
        root = cluster("cas", "put", "-q", str(tmp_path / "in")).out.strip()
        damaged = cluster("cas", "put", "-q", str(tmp_path / "in" / "b")).out.strip()
        path = stored(cluster, damaged)
        path.chmod(0o644)
        with open(path, "r+b") as file:
            file.write(b"other bytes")
        cluster("cas", "checkout", root, str(tmp_path / "out"), code=9)
        path.unlink()
        cluster("cas", "checkout", root, str(tmp_path / "out"), code=3)
        assert os.listdir(tmp_path) == ["in"]

    def test_a_dry_run_writes_nothing(self, cluster: Cli, tree: str, tmp_path: Path) -> None:
        """Statement 40."""
        cluster("cas", "checkout", tree, str(tmp_path / "out"), "--dry-run")
        assert os.listdir(tmp_path) == []


class TestDiff:
    """`nlctl cas diff` and `nlctl ac diff`."""

    def test_directories_differ_by_their_entries(self, cluster: Cli, tree: str, source: Path, tmp_path: Path) -> None:
        cluster("cas", "checkout", tree, str(tmp_path / "x"))
        (tmp_path / "x" / "src" / "a.c").write_text("int b;\n")
        (tmp_path / "x" / "run.sh").chmod(0o644)
        after = cluster("cas", "put", "-q", str(tmp_path / "x")).out.strip()
        document = valid(cluster("cas", "diff", tree, after, "-o", "json", code=12).document)
        assert {(one["path"], one["change"]) for one in document["items"]} == {
            ("src/a.c", "content"),
            ("run.sh", "mode"),
        }
        assert document["type"] == "tree"
        assert valid(cluster("cas", "diff", tree, tree, "-o", "json").document)["type"] == "equal"

    def test_text_differs_by_its_lines_and_bytes_by_their_place(self, cluster: Cli) -> None:
        one, other = put(cluster, b"a\nb\nc\n"), put(cluster, b"a\nB\nc\n")
        done = cluster("cas", "diff", one, other, code=12)
        assert "\n-b\n+B\n c\n" in done.out
        done = cluster("cas", "diff", put(cluster, b"\0abc"), put(cluster, b"\0abd"), "-o", "json", code=12)
        assert valid(done.document)["type"] == "bytes"
        assert "from byte 3 on" in done.err

    def test_messages_and_results_differ_by_their_fields(self, cluster: Cli, action: str) -> None:
        item = cluster("run", "-o", "json", "--", "sh", "-c", "echo other").document["item"]
        document = valid(cluster("cas", "diff", action, name_of(item["action"]), "-o", "json", code=12).document)
        assert {"command", "input_root"} <= {one["path"] for one in document["items"]}
        document = valid(cluster("ac", "diff", action, "@last", "-o", "json", code=12).document)
        fields = {one["field"] for one in document["items"]}
        assert "output_files[o]" in fields
        assert not fields & {"worker", "ran_ms"}
        valid(cluster("ac", "diff", "@last", "@last", "-o", "json").document)


class TestVerify:
    """`nlctl cas verify`."""

    def test_what_is_whole_is_told_and_a_sample_says_how_sure_it_is(self, cluster: Cli, action: str) -> None:
        document = valid(cluster("cas", "verify", "--closure", action, "-o", "json").document)
        assert document["checked"] >= 6
        done = cluster("cas", "verify", "--sample", "50%", "-o", "json")
        document = valid(done.document)
        assert 0 < document["checked"] < document["stored"]
        assert 0 < document["corrupt_ratio_at_most"] < 1
        assert "95% sure that fewer than" in done.err
        cluster("cas", "verify", code=2)
        cluster("cas", "verify", "--sample", "x", code=2)

    def test_wrong_bytes_are_exit_9_also_among_all(self, cluster: Cli) -> None:
        good, bad = put(cluster, os.urandom(100)), put(cluster, os.urandom(500_000))
        blake = cluster("cas", "put", "--blake3", "-q", "-", given=os.urandom(50)).out.strip()
        path = stored(cluster, bad)
        path.chmod(0o644)
        with open(path, "r+b") as file:
            file.write(b"other bytes")
        try:
            done = cluster("cas", "verify", good, bad, NOWHERE, "-o", "json", code=9)
            document = valid(done.document)
            assert {name_of(one["digest"]): one["state"] for one in document["items"]} == {
                bad: "corrupt",
                NOWHERE: "missing",
            }
            document = valid(cluster("cas", "verify", "--all", "-o", "json", code=9).document)
            assert [name_of(one["digest"]) for one in document["items"] if one["state"] == "corrupt"] == [bad]
            assert document["checked"] + document["missing"] == document["stored"]
            assert blake
        finally:
            path.unlink()
        cluster("cas", "verify", NOWHERE, code=3)


class TestRemove:
    """`nlctl cas rm` and `nlctl ac rm`."""

    def test_nothing_is_removed_unasked(self, cluster: Cli, action: str) -> None:
        """Statements 40 and 41."""
        digest = put(cluster, b"to be removed")
        before = contents(cluster)
        assert valid(cluster("cas", "rm", digest, "-o", "json", code=2).fault)["code"] == "NL-USE-104"
        cluster("ac", "rm", action, code=2)
        for words in (("cas", "rm", digest), ("ac", "rm", action)):
            document = valid(cluster(*words, "--dry-run", "-o", "json").document)
            assert [one["removed"] for one in document["items"]] == [None]
        assert contents(cluster) == before

    def test_a_blob_goes_from_the_cas_and_everywhere_on_demand(self, cluster: Cli, source: Path) -> None:
        digest = cluster("cas", "put", "-q", str(source / "src" / "big")).out.strip()
        document = valid(cluster("cas", "rm", digest, "--yes", "-o", "json").document)
        assert [(one["store"], one["removed"]) for one in document["items"]] == [("cas:CAS_STORE", True)]
        cluster("cas", "stat", digest, code=3)
        cluster("cas", "rm", NOWHERE, "--yes", code=3)
        seen = valid(cluster("cas", "stat", digest, "--tiers", "-o", "json", code=3).document)["items"][0]["tiers"]
        assert seen["cas"] is False
        cluster("cas", "put", str(source / "src" / "big"))

    def test_a_result_goes_and_its_outputs_stay(self, cluster: Cli) -> None:
        item = cluster("run", "-o", "json", "--output=o", "--", "sh", "-c", "echo kept > o").document["item"]
        name = name_of(item["action"])
        listed = valid(cluster("ac", "ls", name[:12], "-o", "json").document)["items"]
        assert [name_of(one["action"]) for one in listed] == [name]
        [row] = valid(cluster("ac", "rm", name, "--yes", "-o", "json").document)["items"]
        assert row["removed"] is True
        cluster("ac", "get", name, code=3)
        cluster("ac", "rm", name, "--yes", code=3)
        cluster("cas", "stat", name_of(item["outputs"][0]["digest"]))


class TestHeal:
    """`nlctl cas heal`."""

    def test_a_worker_gives_back_what_the_cas_lost(self, cluster: Cli, source: Path) -> None:
        item = cluster("run", "--input", str(source), "--no-cache", "-o", "json", "--", "cat", "src/a.c").document[
            "item"
        ]
        name = name_of(item["action"])
        entries = cluster("cas", "tree", name, "-o", "json").document["items"]
        [lost] = [name_of(one["digest"]) for one in entries if one["path"] == "src/a.c"]
        stored(cluster, lost).unlink()
        before = contents(cluster)
        document = valid(cluster("cas", "heal", lost, "--dry-run", "-o", "json").document)
        [row] = document["items"]
        assert row["state"] == "found"
        assert row["source"].endswith(":CAS_STORE/fast")
        assert contents(cluster) == before
        [row] = valid(cluster("cas", "heal", "--closure", name, "-o", "json").document)["items"]
        assert (name_of(row["digest"]), row["state"]) == (lost, "healed")
        cluster("cas", "tree", name, "--check")
        rows = valid(cluster("cas", "rm", lost, "--everywhere", "--yes", "-o", "json").document)["items"]
        assert {one["store"] for one in rows} >= {"cas:CAS_STORE", row["source"]}
        cluster("cas", "heal", lost, code=3)
        cluster("cas", "put", str(source))

    def test_another_cluster_heals_too_and_what_is_nowhere_is_told(self, cluster: Cli, other: str) -> None:
        digest = cluster("-C", other, "cas", "put", "-q", "-", given="only there").out.strip()
        done = cluster("cas", "heal", digest, NOWHERE, "--from", other, "-o", "json", code=11)
        assert {name_of(one["digest"]): one["state"] for one in valid(done.document)["items"]} == {
            digest: "healed",
            NOWHERE: "lost",
        }
        assert cluster("cas", "get", digest).out == "only there"


class TestCopy:
    """`nlctl cas cp` and `nlctl ac put`."""

    def test_an_action_goes_with_all_that_it_leads_to(self, cluster: Cli, action: str, other: str) -> None:
        [row] = valid(cluster("cas", "cp", action, "--to", other, "--dry-run", "-o", "json").document)["items"]
        assert row["copied"] == row["blobs"] - row["present"] > 4
        cluster("-C", other, "cas", "stat", action, code=3)
        [row] = valid(cluster("cas", "cp", action, "--to", other, "--result", "-o", "json").document)["items"]
        assert row["lost"] == 0
        valid(cluster("-C", other, "cas", "tree", action, "--check", "-o", "json").document)
        assert cluster("-C", other, "ac", "check", action)
        [row] = valid(cluster("cas", "cp", action, "--to", other, "--result", "-o", "json").document)["items"]
        assert (row["copied"], row["copied_bytes"]) == (0, 0)
        cluster("cas", "cp", action, "--to", "nobody", code=3)

    def test_a_result_is_stored_only_when_all_that_it_names_is_there(self, cluster: Cli, tmp_path: Path) -> None:
        item = cluster("run", "-o", "json", "--no-cache", "--", "sh", "-c", "exit 3", code=3).document["item"]
        name, output = name_of(item["action"]), put(cluster, b"by hand")
        words = ("ac", "put", name, "--exit-code", "0", "--file")
        assert valid(cluster(*words, f"o={NOWHERE}", "-o", "json", code=3).fault)["code"] == "NL-AC-104"
        cluster(*words, f"o={output}", "--dry-run")
        cluster("ac", "get", name, code=3)
        valid(cluster(*words, f"o={output}", "-o", "json").document)
        cluster("ac", "get", name, "-O", str(tmp_path / "r"))
        cluster("ac", "rm", name, "--yes")
        cluster("ac", "put", name, "--result", str(tmp_path / "r"))
        assert (
            valid(cluster("ac", "get", name, "-o", "json").document)["item"]["result"]["output_files"][0]["path"] == "o"
        )
        cluster("ac", "put", name, code=2)


def test_what_a_bare_server_cannot_is_exit_10_with_a_substitute(cluster: Cli, action: str, tree: str) -> None:
    """Statement 51, for these commands: a server of which nothing but the protocol is known."""
    bare = ("--endpoint", cluster("up", "-o", "json").document["item"]["endpoints"]["cas"])
    for words in (
        ("cas", "ls"),
        ("cas", "du"),
        ("cas", "rm", tree, "--yes"),
        ("cas", "verify", "--all"),
        ("cas", "heal", NOWHERE),
        ("cas", "stat", tree, "--tiers"),
        ("cas", "get", tree, "--from", "cas:CAS_STORE"),
        ("ac", "ls"),
        ("ac", "rm", action, "--yes"),
    ):
        fault = valid(cluster(*bare, *words, "-o", "json", code=10).fault)
        assert fault["fix"][0]["text"]
    cluster(*bare, "cas", "tree", tree, "--check")
    cluster(*bare, "cas", "verify", "--closure", action)
    cluster(*bare, "ac", "check", action)


def test_stores_tell_how_much_they_hold(cluster: Cli, tree: str) -> None:
    document = valid(cluster("cas", "du", "-o", "json").document)
    shown = {one["store"]: one for one in document["items"]}
    assert shown["cas:CAS_STORE"]["values"] > 0
    assert shown["cas:CAS_STORE"]["roles"] == ["cas"]
    assert shown["cas:AC_STORE/backend"]["roles"] == ["ac"]
    assert 0 <= shown["cas:CAS_STORE"]["used_ratio"] < 1

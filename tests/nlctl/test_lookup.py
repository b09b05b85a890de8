"""`nlctl cas` and `nlctl ac` on a real cluster: what is there, what it means, and what is missing."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from tests.nlctl.conftest import PROGRAM, Cli, Done, items
from tests.nlctl.documents import valid

NOWHERE = f"{'0' * 63}1/1"


def on_terminal(cli: Cli, *words: str, columns: int = 100) -> str:
    """What a person sees."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "XDG_STATE_HOME": str(cli.home / "state"), "NO_COLOR": "1"}
    with open(main, "rb", buffering=0) as screen:
        process = subprocess.Popen([PROGRAM, *words], env=environment, cwd=cli.home, stdout=other, stderr=other)
        os.close(other)
        seen = b""
        while True:
            try:
                more = screen.read(65536)
            except OSError:
                break
            if not more:
                break
            seen += more
        process.wait(60)
    return seen.decode().replace("\r\n", "\n")


def digest_of(done: Done) -> str:
    """The digest of what a command wrote."""
    data = done.out.encode(errors="surrogateescape")
    return f"{hashlib.sha256(data).hexdigest()}/{len(data)}"


def put(cli: Cli, data: bytes) -> str:
    return cli("cas", "put", "-q", "-", given=data).out.strip()


def forget(cli: Cli, digest: str) -> None:
    """Let the CAS lose a blob, as a disk does; workers keep theirs."""
    name = digest.replace("/", "-")
    (cli.state / "clusters" / "dev" / "data" / "cas" / "content" / "d" / name).unlink()


@pytest.fixture(scope="module")
def source(cluster: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with all kinds of entries."""
    top = tmp_path_factory.mktemp("source")
    (top / "src" / "deep").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "src" / "a.c").write_text("int a;\n")
    (top / "src" / "deep" / "big").write_bytes(os.urandom(300_000))
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    (top / "link").symlink_to("src/a.c")
    (top / "out").symlink_to("../../etc/passwd")
    return top


@pytest.fixture(scope="module")
def tree(cluster: Cli, source: Path) -> str:
    """The digest of that directory."""
    return cluster("cas", "put", "-q", str(source)).out.strip()


@pytest.fixture(scope="module")
def action(cluster: Cli, source: Path) -> str:
    """An action that ran on it, with a file and a directory as outputs."""
    script = "mkdir -p d/e; echo one > d/e/f; echo two > o; echo out; head -c 99999 /dev/zero | tr '\\0' x >&2"
    words = (
        "run",
        "--input",
        str(source),
        "--output",
        "o",
        "--output",
        "d",
        "--out-dir",
        str(cluster.home / "brought"),
    )
    item = cluster(*words, "-o", "json", "--", "sh", "-c", script).document["item"]
    return f"{item['action']['hash']}/{item['action']['size_bytes']}"


class TestGet:
    """`nlctl cas get`."""

    def test_a_pipe_gets_the_bytes_and_a_terminal_what_they_mean(self, cluster: Cli, action: str) -> None:
        assert digest_of(cluster("cas", "get", action)) == action
        seen = on_terminal(cluster, "cas", "get", action)
        assert seen.startswith("Action  (decoded; --as raw for bytes)\n")
        assert "sh -c 'mkdir -p d/e" in seen
        assert "3 files, 3 directories, 300.0 KB" in seen
        assert "…" in seen

    def test_it_is_decoded_as_what_is_asked(self, cluster: Cli, action: str, tree: str) -> None:
        item = valid(cluster("cas", "get", action, "-o", "json").document)["item"]
        assert item["type"] == "action"
        command = item["content"]["command"]
        name = f"{command['hash']}/{command['size_bytes']}"
        found = valid(cluster("cas", "get", name, "-o", "json").document)["item"]["content"]
        assert found["output_paths"] == ["d", "o"]
        assert cluster("cas", "get", name, "--as", "command").out.startswith("Command\n  sh -c ")
        listing = cluster("cas", "get", tree, "--as", "directory").out
        assert "run.sh*" in listing
        assert digest_of(cluster("cas", "get", tree, "--as", "raw")) == tree

    def test_what_it_is_not_is_exit_13(self, cluster: Cli, tree: str) -> None:
        fault = valid(cluster("cas", "get", tree, "--as", "action", "-o", "json", code=13).fault)
        assert fault["code"] == "NL-CAS-104"
        cluster("cas", "get", tree, "--as", "picture", code=2)

    def test_text_is_a_document_and_bytes_are_not(self, cluster: Cli) -> None:
        digest = put(cluster, b"some text\n")
        item = valid(cluster("cas", "get", digest, "-o", "json").document)["item"]
        assert (item["type"], item["content"]) == ("text", "some text\n")
        cluster("cas", "get", put(cluster, b"\0\1\2"), "-o", "json", code=2)
        assert "this blob is binary" in on_terminal(cluster, "cas", "get", put(cluster, b"\0\1\2"))

    @pytest.mark.parametrize(
        ("span", "expected"),
        [("0-3", b"0123"), ("5-", b"56789"), ("8-99", b"89"), ("9-9", b"9"), ("0-", b"0123456789")],
    )
    def test_a_range_is_a_part(self, cluster: Cli, span: str, expected: bytes, tmp_path: Path) -> None:
        digest = put(cluster, b"0123456789")
        assert cluster("cas", "get", digest, "--range", span).out.encode() == expected
        cluster("cas", "get", digest, "--range", span, "-O", str(tmp_path / "part"))
        assert (tmp_path / "part").read_bytes() == expected

    @pytest.mark.parametrize("span", ["10-", "3-2", "-3", "x"])
    def test_what_is_no_range_is_refused(self, cluster: Cli, span: str) -> None:
        digest = put(cluster, b"0123456789")
        assert "it has the bytes 0-9" in cluster("cas", "get", digest, f"--range={span}", code=2).err

    def test_one_layer_is_asked_alone(self, cluster: Cli, action: str, tmp_path: Path) -> None:
        digest = put(cluster, b"in the cas and not yet on a worker")
        assert cluster("cas", "get", digest, "--from", "cas:CAS_STORE").out.startswith("in the cas")
        assert cluster("cas", "get", digest, "--from", "cas:CAS_STORE", "--range", "3-5").out == "the"
        cluster("cas", "get", digest, "--from", "worker-1:CAS_STORE/fast", code=3)
        fault = valid(cluster("cas", "get", digest, "--from", "nowhere:X", "-o", "json", code=3).fault)
        assert fault["code"] == "NL-STO-101"


class TestStat:
    """`nlctl cas stat`."""

    def test_a_person_sees_every_tier(self, cluster: Cli, action: str) -> None:
        header, row = on_terminal(cluster, "cas", "stat", action).splitlines()[:2]
        names = ["DIGEST", "SIZE", "TYPE", "PRESENT", "CAS", "W1", "W2", "SCHEDULER", "USED", "USED", "BY"]
        assert header.split() == names
        assert row.split()[3:6] == ["action", "yes", "yes"]
        assert row.endswith("1 result")
        item = valid(cluster("cas", "stat", action, "--tiers", "-o", "json").document)["items"][0]
        assert (item["type"], item["tiers"]["cas"]) == ("action", True)
        assert (item["used"] is not None, item["used_by"]) == (True, 1)
        item = valid(cluster("cas", "stat", action, "-o", "json").document)["items"][0]
        assert (item["present"], *(item[key] for key in ("type", "used", "tiers", "used_by"))) == (True, *[None] * 4)

    def test_a_pipe_gets_the_answer_without_the_library_that_costs_more_than_it(
        self, cluster: Cli, action: str
    ) -> None:
        """Statement 4."""
        script = """if True:
            import sys
            from nlctl.__main__ import main
            code = main()
            print(code, *sys.modules)
        """
        done = subprocess.run(
            [PROGRAM.with_name("python"), "-c", script, "cas", "stat", action, NOWHERE],
            env={**os.environ, "XDG_STATE_HOME": str(cluster.home / "state")},
            capture_output=True,
            text=True,
            check=True,
        )
        there, absent, loaded = done.stdout.splitlines()
        assert (there.split()[1], absent.split()[1], loaded.split()[0]) == ("yes", "no", "3")
        assert not {"grpc", "google.protobuf", "asyncio"} & set(loaded.split())

    def test_more_digests_than_one_frame_holds_are_asked_for_as_well(self, cluster: Cli, action: str) -> None:
        others = [f"{number:064x}/1" for number in range(1, 200)]
        found = items(cluster, "cas", "stat", action, *others, code=3)
        assert [one["present"] for one in found] == [True, *[False] * 199]


class TestTree:
    """`nlctl cas tree`."""

    def test_a_pipe_gets_a_line_for_each_entry(self, cluster: Cli, tree: str) -> None:
        """Statement 23."""
        rows = [line.split("\t") for line in cluster("cas", "tree", tree, COLUMNS="20").out.splitlines()]
        assert [row[0] for row in rows] == [
            "empty",
            "src",
            "src/deep",
            "src/deep/big",
            "src/a.c",
            "run.sh",
            "link",
            "out",
        ]
        assert all(len(row[2].split("/")[0]) == 64 for row in rows if row[1] != "symlink")

    def test_a_document_has_totals(self, cluster: Cli, tree: str) -> None:
        document = valid(cluster("cas", "tree", tree, "--check", "-o", "json").document)
        assert (document["files"], document["directories"], document["symlinks"]) == (3, 3, 2)
        assert (document["size_bytes"], document["missing_nodes"], document["checked"]) == (300_017, 0, True)

    def test_an_action_leads_to_its_inputs(self, cluster: Cli, action: str, tree: str) -> None:
        root = valid(cluster("cas", "tree", action, "-o", "json").document)["root"]
        assert f"{root['hash']}/{root['size_bytes']}" == tree
        cluster("cas", "tree", put(cluster, b"no tree"), code=13)
        cluster("cas", "tree", NOWHERE, code=3)

    def test_people_see_a_drawing(self, cluster: Cli, tree: str) -> None:
        seen = on_terminal(cluster, "cas", "tree", tree, "--sizes").splitlines()
        assert seen[0].endswith("300.0 KB   3 files, 3 directories")
        assert any(line.startswith("│  ├─ deep/") and "100%" in line and "████" in line for line in seen)
        assert any(line.startswith("├─ run.sh*") for line in seen)
        assert any(line.startswith("└─ out") and line.endswith("-> ../../etc/passwd") for line in seen)

    def test_what_is_missing_is_shown_and_is_exit_3(self, cluster: Cli, tmp_path: Path) -> None:
        (tmp_path / "sub" / "gone").mkdir(parents=True)
        (tmp_path / "sub" / "file").write_text(f"{tmp_path}")
        (tmp_path / "sub" / "gone" / "x").write_text("x")
        root = cluster("cas", "put", "-q", str(tmp_path)).out.strip()
        before = valid(cluster("cas", "tree", root, "-o", "json").document)
        names = {one["path"]: f"{one['digest']['hash']}/{one['digest']['size_bytes']}" for one in before["items"]}
        forget(cluster, names["sub/file"])
        forget(cluster, names["sub/gone"])
        done = cluster("cas", "tree", root, "--depth", "0", "--check", "-o", "json", code=3)
        document = valid(done.document)
        assert {one["path"]: one["missing"] for one in document["items"]} == {
            "sub": False,
            "sub/gone": True,
            "sub/file": True,
        }
        assert document["missing_nodes"] == 2
        assert valid(done.fault)["code"] == "NL-CAS-101"
        assert "MISSING" in on_terminal(cluster, "cas", "tree", root, "--check")


class TestMissing:
    """`nlctl cas missing`."""

    def test_only_the_missing_ones_are_printed_whole(self, cluster: Cli, tree: str) -> None:
        """Statement 23."""
        done = cluster("cas", "missing", tree, NOWHERE, COLUMNS="20", code=3)
        assert done.out == f"{NOWHERE}\n"
        assert cluster("cas", "missing", "-", given=f"x {tree} y\n{NOWHERE}\n", code=3).out == f"{NOWHERE}\n"
        done = cluster("cas", "missing", tree)
        assert (done.out, done.err) == ("", "it is there\n")

    def test_many_are_asked_at_once(self, cluster: Cli) -> None:
        given = "".join(f"{number:063x}a/7\n" for number in range(25_000))
        done = cluster("cas", "missing", "-", "-o", "json", given=given, code=3)
        document = done.document
        assert (document["asked"], document["missing"], len(document["items"])) == (25_000, 25_000, 25_000)
        valid({**document, "items": document["items"][:10]})


class TestResults:
    """`nlctl ac`."""

    def test_a_result_is_shown(self, cluster: Cli, action: str) -> None:
        item = valid(cluster("ac", "get", action, "-o", "json").document)["item"]
        assert item["result"]["exit_code"] == 0
        assert [one["path"] for one in item["result"]["output_files"]] == ["o"]
        assert item["result"]["ran_ms"] is not None
        shown = cluster("ac", "get", action).out.splitlines()
        assert shown[0].startswith("exit 0 - worker-")
        assert "stored" in shown[0]
        assert any(line.startswith("o ") and len(line.split()[-1]) > 64 for line in shown)

    def test_a_miss_is_exit_3(self, cluster: Cli) -> None:
        assert valid(cluster("ac", "get", NOWHERE, "-o", "json", code=3).fault)["code"] == "NL-AC-101"
        cluster("ac", "check", NOWHERE, code=3)

    def test_a_whole_result_checks_out(self, cluster: Cli, action: str) -> None:
        document = valid(cluster("ac", "check", action, "-o", "json").document)
        assert {(one["role"], one["path"]) for one in document["items"]} >= {
            ("output", "o"),
            ("tree", "d"),
            ("file", "d/e/f"),
            ("stderr", ""),
        }
        assert document["missing"] == 0
        assert document["layer"] is None

    def test_a_hidden_result_is_found_and_what_it_lacks_is_told(self, cluster: Cli) -> None:
        words = (
            "run",
            "--output",
            "d",
            "-o",
            "json",
            "--",
            "sh",
            "-c",
            f"mkdir d; echo {os.urandom(8).hex()} > d/lost",
        )
        item = cluster(*words).document["item"]
        name = f"{item['action']['hash']}/{item['action']['size_bytes']}"
        before = valid(cluster("ac", "check", name, "-o", "json").document)
        [lost] = [one["digest"] for one in before["items"] if one["path"] == "d/lost"]
        forget(cluster, f"{lost['hash']}/{lost['size_bytes']}")
        cluster("ac", "get", name, code=3)
        done = cluster("ac", "check", name, code=3)
        assert done.out == f"{lost['hash']}/{lost['size_bytes']}\tfile\td/lost\n"
        assert "error[NL-AC-104]" in done.err
        assert "d/lost" in done.err
        layer = valid(cluster("ac", "check", name, "-o", "json", code=3).document)["layer"]
        assert layer == "cas:AC_STORE/backend"
        assert cluster("ac", "get", name, "--from", layer).out.startswith("exit 0")

"""What goes to a pipe: every example of every command where no cluster runs, and the commands that show data on one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nlctl.description import commands_in, describe
from nlctl.exits import Exit
from nlctl.registry import COMMANDS
from tests.nlctl.conftest import PROGRAM, Cli
from tests.nlctl.conventions.many import Ended, ended
from tests.nlctl.documents import valid

CODES = {int(one) for one in Exit}
STARTS = {("up",), ("image", "build"), ("lab", "start"), ("lab", "tour")}
"""They do what they say where nothing runs, and are tested by themselves."""
AWKWARD = [{"GITHUB_ACTIONS": "true"}, {"TERM": "dumb", "CI": "true"}, {"NO_COLOR": "1", "PYTHONIOENCODING": "ascii"}]
STREAMS = {"logs", "events"}
SHOWN = [
    ["status"],
    ["ps"],
    ["logs", "--tail", "5"],
    ["events"],
    ["workers", "ls"],
    ["workers", "match", "OSFamily=linux"],
    ["ops", "ls"],
    ["queue", "ls"],
    ["cas", "ls"],
    ["cas", "put", "blob"],
    ["cas", "stat", "file:blob"],
    ["cas", "why", "file:blob"],
    ["cas", "get", "file:blob", "-O", "copy"],
    ["context", "ls"],
    ["context", "show"],
    ["bazelrc"],
    ["version"],
    ["up", "-n"],
    ["explain"],
    ["explain", "NL-CAS-101"],
    ["help", "output"],
    ["cas", "--help"],
    ["cas", "get", "--help"],
]


def examples() -> Iterator[list[str]]:
    """The first two of each command, which show its usual use."""
    for path in COMMANDS:
        lines = [words for line in describe(path).examples for words in commands_in(line)]
        # One that asks for a form of output itself says nothing of -o json.
        yield from [words for words in lines if tuple(words[: len(path)]) == path and "-o" not in words][:2]


def documents_of(out: str) -> list[Any]:
    """One document, or a line for each of a stream."""
    try:
        return [json.loads(out)]
    except ValueError:
        return [json.loads(line) for line in out.splitlines()]


def started(words: list[str]) -> bool:
    return any(tuple(words[: len(path)]) == path for path in STARTS)


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> list[Ended]:
    """Every example, as JSON, where no cluster runs."""
    home = tmp_path_factory.mktemp("nobody")
    shown = [words for words in examples() if not started(words) and ("-o" not in words or "json" in words)]
    lines = [["-o", "json", "--no-input", "--timeout", "20s", *words] for words in shown]
    return ended(lines, home, AWKWARD[0])


def test_no_command_ends_with_a_code_outside_the_table(nobody: list[Ended]) -> None:
    """Statement 18."""
    assert len(nobody) > len(COMMANDS)
    assert [one for one in nobody if one.code not in CODES or one.code == Exit.INTERNAL] == []


def test_no_command_shows_a_traceback(nobody: list[Ended]) -> None:
    assert [one for one in nobody if "Traceback" in one.out + one.err] == []


def test_with_json_standard_output_is_documents_and_a_failure_is_the_last_line_of_the_other(
    nobody: list[Ended],
) -> None:
    """Statements 15 and 17."""
    for one in nobody:
        documents = documents_of(one.out)
        assert [
            valid(document) for document in documents if "schema" in document and "$id" not in document
        ] or not one.out
        if not documents and one.code:
            fault = json.loads(one.err.splitlines()[-1])
            assert valid(fault)["fix"], one
            assert fault["exit"] == one.code


@pytest.fixture(scope="module", params=AWKWARD, ids=lambda given: "+".join(given))
def shown(request: pytest.FixtureRequest, cluster: Cli) -> list[Ended]:
    """What commands show of a cluster, in environments that mislead programs."""
    (cluster.home / "blob").write_bytes(b"some content")
    return ended(SHOWN, cluster.home, {"XDG_STATE_HOME": str(cluster.home / "state"), "COLUMNS": "20", **request.param})


def test_off_a_terminal_nothing_is_coloured_animated_or_drawn_over(shown: list[Ended], nobody: list[Ended]) -> None:
    """Statement 22."""
    assert [one for one in shown if one.code] == []
    texts = [one.out + one.err for one in (*shown, *nobody)]
    assert [text for text in texts if any(sign in text for sign in "\x1b\r\u280b\u2819\u2839")] == []


def test_off_a_terminal_a_digest_is_whole(cluster: Cli, shown: list[Ended]) -> None:
    """Statement 23."""
    digest = cluster("cas", "put", "-q", "blob").out.strip()
    assert len(digest.split("/")[0]) == 64
    for one in shown:
        if one.words[:2] in (("cas", "put"), ("cas", "stat")):
            assert any(digest in line.split("\t") for line in one.out.splitlines())
    for form in ("table", "tsv", "json"):
        assert digest.split("/")[0] in cluster("cas", "stat", "file:blob", "-o", form, COLUMNS="20").out


def test_documents_of_a_cluster_are_as_their_schemas_say(cluster: Cli) -> None:
    """Statements 15 and 17."""
    (cluster.home / "blob").write_bytes(b"some content")
    lines = [[*words, "-o", form] for words in SHOWN for form in ("json", "jsonl")]
    for one in ended(lines, cluster.home, {"XDG_STATE_HOME": str(cluster.home / "state")}):
        documents = [valid(json.loads(line)) for line in one.out.splitlines()]
        assert documents or one.words[-1] == "jsonl", one
        assert len(documents) == 1 or one.words[-1] == "jsonl" or one.words[0] in STREAMS, one


def test_a_reader_that_stops_hears_no_complaint(cluster: Cli) -> None:
    """Statement 21."""
    (cluster.home / "blob").write_bytes(b"some content")
    lines = [
        f"{PROGRAM} {' '.join(words)} 2>>{cluster.home}/said | head -1 >/dev/null; echo ${{PIPESTATUS[0]}}"
        for words in SHOWN
    ]
    script = f"cd {cluster.home}; export XDG_STATE_HOME={cluster.home}/state; " + "; ".join(lines)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert set(done.stdout.split()) <= {"0", str(int(Exit.BROKEN_PIPE))}
    said = (cluster.home / "said").read_text()
    assert "Traceback" not in said
    assert "error" not in said


def test_a_terminal_of_ascii_is_shown_marks_of_ascii(cluster: Cli) -> None:
    """Statement 24."""
    out = cluster("status", LC_ALL="C", PYTHONIOENCODING="ascii").out
    assert out.isascii()
    assert "ok cas" in out


def test_commands_import_nothing_that_another_directory_offers(tmp_path: Path) -> None:
    """A command runs in the user's folder, whose files are no modules of ours."""
    (tmp_path / "json.py").write_text("raise SystemExit(99)")
    done = subprocess.run([PROGRAM, "version", "-o", "json"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0

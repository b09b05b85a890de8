"""The transcripts of the documents happen as they stand."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.nlctl.conftest import PROGRAM
from tests.nlctl.transcripts import exchanges, printed, same

ROOT = Path(__file__).parents[2]
DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if list(exchanges(path))]


# They take the ports that clusters have unless they are told others.
usual_ports = pytest.mark.xdist_group("usual ports")


@pytest.mark.slow
@usual_ports
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_transcript_happens_as_it_stands(document: Path, tmp_path: Path) -> None:
    """Statement 57."""
    environment = {
        "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
    }
    try:
        for one in exchanges(document):
            got = printed(one.command, tmp_path, environment)
            where = f"{document.name}:{one.line}: {one.command}"
            assert same(one.printed, got), "\n".join([where, "wanted:", *one.printed, "got:", *got])
    finally:
        printed("nlctl down --all --wipe --yes", tmp_path, environment)


@pytest.mark.slow
@usual_ports
def test_the_commands_of_the_readme_work_in_their_order(tmp_path: Path) -> None:
    """Statement 57."""
    environment = {"PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.c").write_text("int main(void) { return 0; }\n")
    blocks = re.findall(r"^```\n(nl.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [re.split(r"\s{2,}# ", line)[0] for block in blocks[:2] for line in block.splitlines()]
    assert sum(line.startswith("nlctl ") for line in lines) > 10
    try:
        for line in sorted(lines, key=lambda line: line == "nlctl down"):
            if re.search(r"\b[A-Z]{4,}$", line) or line.startswith("bazel "):
                # A word that stands for another, and a program of others.
                continue
            # Off a terminal it never ends.
            command = line.replace("nlctl top", "nlctl top --once")
            done = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    finally:
        printed("nlctl down --all --wipe --yes", tmp_path, environment)


def test_the_tutorial_is_replayed() -> None:
    assert ROOT / "docs" / "tutorial.md" in DOCUMENTS


@pytest.mark.parametrize(
    ("wanted", "got", "alike"),
    [
        (["a"], ["a"], True),
        (["a"], ["b"], False),
        (["a", "..."], ["a"], True),
        (["...", "z"], ["a", "b", "z"], True),
        (["...", "z"], ["a", "b"], False),
        (["up in 1.7s, pid 12"], ["up in 23.0s, pid 4711"], True),
        (["grpc://127.0.0.1:1"], ["grpc://127.0.0.1:50051"], True),
        ([], ["a"], False),
    ],
)
def test_lines_are_compared_by_their_shape(wanted: list[str], got: list[str], alike: bool) -> None:
    assert same(wanted, got) is alike

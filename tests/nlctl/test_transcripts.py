"""The transcripts of the documents happen as they stand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.nlctl.conftest import PROGRAM
from tests.nlctl.transcripts import exchanges, printed, same

ROOT = Path(__file__).parents[2]
DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if list(exchanges(path))]


@pytest.mark.slow
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

"""What is committed is what `make proto` makes."""

from __future__ import annotations

from pathlib import Path

from nlserver.proto import generate


def test_the_committed_modules_are_what_their_sources_generate(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    made = {path.name: path.read_bytes() for path in (tmp_path / "nlserver/proto").glob("*_pb2*")}
    committed = {path.name: path.read_bytes() for path in generate.HERE.glob("*_pb2*")}
    assert made.keys() == committed.keys()
    assert [name for name in made if made[name] != committed[name]] == []

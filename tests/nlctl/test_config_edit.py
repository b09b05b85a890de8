"""`nlctl config edit`: only what the server could run takes a file's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlctl.launch.templates import template
from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid


@pytest.fixture
def path(cli: Cli) -> Path:
    made = cli.home / "cas.json5"
    made.write_text(template("cas.json5"))
    return made


def test_what_is_right_is_written_and_can_be_undone(cli: Cli, path: Path) -> None:
    done = cli("config", "edit", "cas.json5", "-o", "json", EDITOR="sed -i s/10gb/20gb/")
    assert valid(done.document)["item"]["undo"]
    assert "20gb" in path.read_text()
    cli("config", "undo")
    assert path.read_text() == template("cas.json5")


def test_what_is_wrong_is_shown_and_kept_elsewhere(cli: Cli, path: Path) -> None:
    done = cli("config", "edit", "cas.json5", code=13, EDITOR="sed -i s/max_bytes/max_bites/")
    assert "NL-CFG-104" in done.err
    assert path.read_text() == template("cas.json5")
    (kept,) = (cli.state / "edits").glob("*.rejected")
    assert "max_bites" in kept.read_text()


def test_nothing_is_written_when_nothing_changed_or_the_editor_fails(cli: Cli, path: Path) -> None:
    assert valid(cli("config", "edit", "cas.json5", "-o", "json", EDITOR="true").document)["item"]["undo"] is None
    for editor in ("false", "/no/such/editor", ""):
        cli("config", "edit", "cas.json5", code=2, EDITOR=editor, VISUAL="")
    assert path.read_text() == template("cas.json5")
    cli("config", "edit", "gone.json5", code=3, EDITOR="true")

"""`nlctl config diff`: what two configs mean differently."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.faults import BAD_CONFIG, NOT_KNOWN, USAGE, Fault, fix
from nlctl.session import Session
from nlctl.ui import Column

if TYPE_CHECKING:
    from nlserver.cluster import Config

EPILOG = """\b
Examples:
  nlctl config diff old.json5 new.json5
  nlctl config diff ./before ./after        the files of one name in two directories
  nlctl config diff --running               the files of the cluster, against what its parts run
\b
Exit status: 0 they mean the same, 3 no such file, 4 no cluster is running, 12 they differ, 13 one cannot be read
"""
_COLUMNS = (
    Column("PART", "part"),
    Column("PATH", "path"),
    Column("BEFORE", "before", json.dumps),
    Column("AFTER", "after", json.dumps),
    Column("FROM", "after_where"),
)
Pair = tuple[str, str, str]
"""A part, and two texts of its config."""


def command(
    ctx: typer.Context,
    files: Annotated[list[str] | None, typer.Argument(help="Two files, or two directories.")] = None,
    running: Annotated[bool, typer.Option("--running", help="Compare the files with what runs.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Compare what configs mean, path by path: comments, order and written-out defaults do not count."""
    session: Session = ctx.obj
    words = files or []
    if len(words) != (0 if running else 2):
        raise Fault(
            USAGE,
            "name two files, or --running alone",
            fixes=[fix("compare the cluster with its files", "nlctl", "config", "diff", "--running")],
        )
    pairs = _of_cluster(session, name) if running else _of_files(words)
    rows = [row for part, before, after in pairs for row in _rows(session, part, before, after)]
    session.ui.items("nlctl.config.diff/v1", rows, _COLUMNS)
    if running and rows:
        session.ui.say("The files take effect with the next `nlctl up`.")
    return Exit.DIFFERS if rows else Exit.OK


def _of_files(words: Sequence[str]) -> list[Pair]:
    from nlctl import configs

    sides = [{path.name: path for path in configs.chosen_files(word)} for word in words]
    if not any(Path(word).is_dir() for word in words):
        [first], [second] = (list(side.values()) for side in sides)
        texts = configs.read([first, second])
        return [(second.name, texts[0].content, texts[1].content)]
    empty = "{stores: [], servers: []}"
    names = sorted({*sides[0], *sides[1]})

    def text(side: int, name: str) -> str:
        return configs.read([sides[side][name]])[0].content if name in sides[side] else empty

    return [(name, text(0, name), text(1, name)) for name in names]


def _of_cluster(session: Session, name: str) -> list[Pair]:
    from nlctl.launch.running import texts

    ledger, backend = session.running(name)
    pairs = []
    for part, (runs, file) in texts(ledger, backend.reports() or ()).items():
        if runs is None:
            raise Fault(
                NOT_KNOWN,
                f"what {part} runs is not known any more",
                why="its file was edited before it was started and again since",
                fixes=[fix("start it with the file as it is now", "nlctl", "up")],
            )
        if runs != file:
            pairs.append((part, runs, file))
    return pairs


def _rows(session: Session, part: str, before: str, after: str) -> list[dict[str, Any]]:
    from nlctl.specs.settings import differences

    old, new = (_loaded(session, text, part) for text in (before, after))
    return [
        {
            "part": part,
            "path": one.path,
            "before": one.before,
            "after": one.after,
            "before_where": one.before_where,
            "after_where": one.after_where,
        }
        for one in differences(old, new)
    ]


def _loaded(session: Session, text: str, name: str) -> Config:
    from nlserver.cluster import ConfigError, loads, render

    try:
        return loads(text, name, session.environment)
    except ConfigError as error:
        raise Fault(
            BAD_CONFIG,
            f"{name} cannot be read as a config",
            why="every problem is below",
            fixes=[fix("see them with their reasons", "nlctl", "config", "validate", name)],
            log=render(error.problems),
        ) from error

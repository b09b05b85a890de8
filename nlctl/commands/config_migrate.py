"""`nlctl config migrate`: configs of older releases in today's shape."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.faults import BAD_CONFIG, Fault, fix
from nlctl.session import Session
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl config migrate cas.json5 --dry-run
  nlctl config migrate ./configs
  nlctl config undo                        takes it back
\b
Exit status: 0 they are of today, 3 no such file, 13 a file is no JSON5, or is wrong in other ways, too
"""
_COLUMNS = (Column("FILE", "file"), Column("CHANGES", "changes"), Column("WRITTEN", "written"))


def command(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(help="Configs, or directories of them.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would change.")] = False,
) -> int:
    """Rewrite older shapes as those of today: maps of services and stores, renamed kinds, keys that are gone.

    Comments and everything else stay as they are. The difference is shown; `nlctl config undo` takes it back.
    """
    from nlctl import configs
    from nlctl.lint.repair import difference
    from nlctl.specs.migration import migrated

    session: Session = ctx.obj
    rows: list[dict[str, Any]] = []
    after: dict[Path, str] = {}
    wrong = 0
    for text in configs.read(configs.chosen(session, files)):
        if not text.is_config:
            continue
        _well_formed(text.name, text.content)
        made = migrated(text.content)
        changed = made.text != text.content
        if changed:
            after[Path(text.name)] = made.text
        shown = difference(text.name, text.content, made.text)
        errors = _errors(session, text.name, made.text)
        wrong += len(errors)
        rows.append(
            {
                "file": text.name,
                "changes": list(made.changes),
                "diff": shown,
                "errors": errors,
                "written": changed and not dry_run,
            }
        )
        if shown:
            session.ui.say(shown.rstrip())
        for error in errors:
            session.ui.warn(f"still wrong: {error}")
    if after and not dry_run:
        session.ui.say(f"undo: nlctl config undo {configs.change(session, after)}")
    session.ui.items("nlctl.config.migrate/v1", rows, _COLUMNS)
    return Exit.INVALID if wrong else Exit.OK


def _well_formed(name: str, text: str) -> None:
    from nlserver.cluster import ConfigError, render
    from nlserver.config.document import parse

    try:
        parse(text, name)
    except ConfigError as error:
        raise Fault(
            BAD_CONFIG,
            f"{name} is no JSON5",
            why="a text that cannot be read cannot be rewritten",
            fixes=[fix("see the place", "nlctl", "config", "validate", name)],
            log=render(error.problems),
        ) from error


def _errors(session: Session, name: str, text: str) -> list[str]:
    from nlctl.lint.finding import Severity
    from nlctl.lint.judging import Text, single

    found = single([Text(name, text)], session.environment).findings
    return [f"{one.place.line}: {one.what}" for one in found if one.severity is Severity.ERROR]

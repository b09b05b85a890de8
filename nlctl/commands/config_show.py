"""`nlctl config show`: the settings that hold, and where each comes from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.faults import BAD_CONFIG, Fault, fix
from nlctl.session import Session
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl config show                         the global settings of nlctl itself
  nlctl config show --origin                and the flag, variable or file that said each
  nlctl config show worker-1                what the config of a part says
  nlctl config show cas.json5 --effective   what holds: defaults too
\b
Exit status: 0 shown, 3 no such part or file, 13 a config cannot be read
"""


def command(
    ctx: typer.Context,
    files: Annotated[list[str] | None, typer.Argument(help="Parts of the cluster, or config files.")] = None,
    effective: Annotated[bool, typer.Option("--effective", help="Also what holds by default.")] = False,
    origin: Annotated[bool, typer.Option("--origin", help="Where each value comes from.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show settings, one a line: those of nlctl, or those of configs by their paths."""
    session: Session = ctx.obj
    rows = _of_configs(session, files, name) if files else _of_nlctl(session)
    shown = rows if effective or not files else [row for row in rows if row["origin"] != "default"]
    columns = [Column("SETTING", "setting"), Column("VALUE", "value", json.dumps)]
    columns += [Column("ORIGIN", "origin")] if origin else []
    session.ui.items("nlctl.config.show/v1", shown, columns)
    return Exit.OK


def _of_nlctl(session: Session) -> list[dict[str, Any]]:
    return [{"setting": name, "value": value, "origin": where} for name, value, where in session.settings()]


def _of_configs(session: Session, words: Sequence[str], name: str) -> list[dict[str, Any]]:
    from nlserver.cluster import ConfigError, loads, render

    from nlctl import configs
    from nlctl.specs.settings import settings

    rows: list[dict[str, Any]] = []
    for text in configs.read(configs.parts_or_files(session, words, name)):
        try:
            config = loads(text.content, text.name, session.environment)
        except ConfigError as error:
            raise Fault(
                BAD_CONFIG,
                f"{text.name} cannot be read as a config",
                why="every problem is below",
                fixes=[fix("see them with their reasons", "nlctl", "config", "validate", text.name)],
                log=render(error.problems),
            ) from error
        rows += [{"setting": one.path, "value": one.value, "origin": one.where} for one in settings(config)]
    return rows

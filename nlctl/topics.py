"""What `nlctl help` shows: topics, schemas, and the pages of commands, all without importing a command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nlctl import manual, pages
from nlctl.registry import COMMANDS, GROUPS

_DRAWN: Final = {"all": "every command", "options": "options of every command", "schema": "schemas of JSON documents"}
_OTHER_NAMES: Final = {"json": "output", "exit": "exit-codes", "exits": "exit-codes", "digest": "digests"}


def names() -> list[str]:
    """Every topic, sorted."""
    return sorted([*pages.names(pages.TOPICS), *_DRAWN])


def text(words: Sequence[str]) -> str | None:
    """The page that these words name: a topic, a command, a group, or nothing for the list of topics."""
    match list(words):
        case []:
            return _index()
        case ["all"]:
            return manual.everything()
        case ["options"]:
            return manual.options()
        case ["schema"]:
            return "\n".join(pages.names(pages.SCHEMAS)) + "\n"
        case ["schema", name]:
            return pages.read(pages.SCHEMAS, name.removeprefix("nlctl.").removesuffix("/v1"))
        case [name] if (page := pages.read(pages.TOPICS, _OTHER_NAMES.get(name, name))) is not None:
            return pages.plain(page) + _added(_OTHER_NAMES.get(name, name))
        case [name] if name in GROUPS:
            return manual.group(name)
    return of_command(tuple(words))


def of_command(path: tuple[str, ...]) -> str | None:
    """The page of a command, None for what is none."""
    return pages.read(pages.HELP, "_".join(path)) if path in COMMANDS else None


def title(name: str) -> str:
    """What a topic is about."""
    return _DRAWN.get(name) or pages.title(pages.read(pages.TOPICS, name) or "")


def _added(name: str) -> str:
    """What the registry knows about a topic."""
    if name == "levels":
        return manual.levels()
    return manual.environment() + "\n" if name == "environment" else ""


def _index() -> str:
    lines = ["Topics, for `nlctl help TOPIC`:", ""]
    lines += [f"  {name:<24}{title(name)}" for name in names()]
    lines += ["", "`nlctl help COMMAND` is `nlctl COMMAND --help`; `nlctl explain CODE` explains an error."]
    return "\n".join(lines) + "\n"

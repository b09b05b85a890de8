"""Command lines that are answered by a page, before anything is imported that they do not need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TextIO

_ASKS: Final = ("--help", "-h")
_PLAIN: Final = ("", "table", "tsv")


def page(words: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The page that these words ask for; None when they have to be looked at closely: flags, JSON, mistakes."""
    if environment.get("NLCTL_OUTPUT", "") not in _PLAIN:
        return None
    rest = [word for word in words if word not in _ASKS]
    asks = len(rest) < len(words)
    if any(word.startswith("-") for word in rest):
        return None
    if not rest:
        from nlctl import manual

        return manual.root()
    if asks:
        return _of(rest) if rest[0] != "help" else None
    if rest[0] == "help":
        from nlctl import topics

        return topics.text(rest[1:])
    if rest[0] == "explain" and len(rest) == 2:
        from nlctl import pages

        return pages.explained(rest[1])
    return None


def _of(path: Sequence[str]) -> str | None:
    """The page of a command, or of a group."""
    from nlctl import manual, topics
    from nlctl.registry import GROUPS

    if len(path) == 1 and path[0] in GROUPS:
        return manual.group(path[0])
    return topics.of_command(tuple(path))


def is_bold(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether headings stand out on this stream."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def bold(text: str) -> str:
    """A page with its headings in bold."""
    lines = (f"\x1b[1m{line}\x1b[0m" if line.endswith(":") and line[0] > " " else line for line in text.splitlines())
    return "\n".join(lines) + "\n"

"""Paragraphs in lines of 80 columns, in which no word and nothing between backticks is cut. Pure."""

from __future__ import annotations

import re
from typing import Final

WIDTH: Final = 80
_WORD: Final = re.compile(r"(?:`[^`]*`|\S)+")


def wrapped(text: str, indent: str = "") -> list[str]:
    """One paragraph as lines."""
    lines, line = [], ""
    for word in _WORD.findall(text):
        if line and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else indent + word
    return [*lines, line]


def reflowed(text: str) -> str:
    """A text whose paragraphs are wrapped anew; lines that begin with a blank stay as they are."""
    parts = (_part(part) for part in text.strip("\n").split("\n\n"))
    return "\n\n".join(parts) + "\n"


def _part(text: str) -> str:
    made: list[str] = []
    held: list[str] = []
    for line in [*text.split("\n"), " "]:
        if not line.startswith(" "):
            held.append(line)
            continue
        made += wrapped(" ".join(held)) if held else []
        made.append(line)
        held = []
    return "\n".join(made[:-1])

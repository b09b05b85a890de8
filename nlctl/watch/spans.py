"""Lines of styled text, measured in cells of a terminal. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

Span = tuple[str, str]
"""A text and its style: "" or a key of CODES."""
Line = Sequence[Span]
CODES: Final = {"bold": "1", "dim": "2", "good": "32", "warn": "33", "bad": "31", "accent": "36", "chosen": "7"}
_CONTROLS: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "?")


def cells(text: str) -> int:
    """How many cells this text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int, *, ascii_only: bool = False) -> str:
    """The text in at most `width` cells, with a mark where something is left out; control characters are replaced."""
    text = text.translate(_CONTROLS)
    if cells(text) <= width:
        return text
    mark = "~" if ascii_only else "…"
    kept = ""
    for one in text:
        if cells(kept) + cells(one) > width - 1:
            break
        kept += one
    return kept + mark if width > 0 else ""


def fit(text: str, width: int, *, right: bool = False, ascii_only: bool = False) -> str:
    """The text in exactly `width` cells."""
    shown = cut(text, width, ascii_only=ascii_only)
    blank = " " * (width - cells(shown))
    return blank + shown if right else shown + blank


def width_of(line: Line) -> int:
    """How many cells a line takes."""
    return sum(cells(text) for text, _ in line)


def encoded(line: Line, *, color: bool) -> str:
    """The line as a terminal takes it; without colour there are no escape codes at all."""
    if not color:
        return "".join(text for text, _ in line)
    return "".join(f"\x1b[{CODES[style]}m{text}\x1b[0m" if style and text else text for text, style in line)

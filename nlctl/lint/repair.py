"""Repairs of files: the edits of findings made, and what they change shown. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

from nlctl.lint.finding import Edit

_LINE_END: Final = re.compile(r"\r\n|[\n\r\u2028\u2029]")


def repaired(text: str, edits: Iterable[Edit]) -> str:
    """The text with these edits, which are all of this file; of two that overlap the first one counts."""
    starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
    spans = sorted({(starts[edit.line - 1] + edit.column - 1, edit.length, edit.text) for edit in edits})
    made, end = [], 0
    for start, length, new in spans:
        if start < end:
            continue
        made += [text[end:start], new]
        end = start + length
    return "".join([*made, text[end:]])


def difference(name: str, before: str, after: str) -> str:
    """What changed, as `diff -u` shows it."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return "".join(line if line.endswith("\n") else line + "\n" for line in difflib.unified_diff(old, new, name, name))

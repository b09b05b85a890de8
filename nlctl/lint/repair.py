"""Repairs of files: the edits of findings made, and what they change shown. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Final

from nlserver.config.document import Document, Value, parse
from nlserver.config.problem import ConfigError

from nlctl.lint.finding import Edit, token_length
from nlctl.lint.scene import values

_INSTANCE: Final = "instance_name"
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


def restored(text: str, ours: str, meant: Callable[[str], bool]) -> str | None:
    """The text with those of its values as another text has them whose config path is meant; None for no JSON5.

    An instance name that the other text does not give becomes empty. What only the other text has is not added.
    """
    try:
        here, there = _values(parse(text, "")), _values(parse(ours, ""))
    except ConfigError:
        return None
    edits = []
    for path, (value, line) in here.items():
        if not meant(path) or value.pairs or value.items:
            continue
        if path in there and there[path][0].content != value.content:
            other, other_line = there[path]
            new = _token(other_line, other.place.column)
        elif path not in there and path.endswith(_INSTANCE) and value.content:
            new = '""'
        else:
            continue
        edits.append(Edit("", value.place.line, value.place.column, token_length(line, value.place.column), new))
    return repaired(text, edits)


def lacks(text: str, ours: str, meant: Callable[[str], bool]) -> bool:
    """Whether the text has no value at a config path that is meant and that another text has; False for no JSON5."""
    try:
        here, there = _values(parse(text, "")), _values(parse(ours, ""))
    except ConfigError:
        return False
    return any(meant(path) and path not in here for path in there)


def _values(document: Document) -> dict[str, tuple[Value, str]]:
    """Every value by its config path, with the line that it begins in."""
    return {one.place.path: (one, document.excerpt(one.place)) for one in values(document.root)}


def _token(line: str, column: int) -> str:
    return line[column - 1 : column - 1 + token_length(line, column)]


def difference(name: str, before: str, after: str) -> str:
    """What changed, as `diff -u` shows it."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return "".join(line if line.endswith("\n") else line + "\n" for line in difflib.unified_diff(old, new, name, name))

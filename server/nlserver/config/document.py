"""JSON5 text to values that know their place. The language is that of the json5 package; this adds the places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import json5

from nlserver.config.problem import ConfigError, Problem, Sort
from nlserver.spec import Place

LARGEST_FILE: Final = 1 << 20
"""Bytes of the largest config that is read: the parser needs some 25 ms for each KiB."""
_LARGEST_INTEGER: Final = 2**63 - 1
_LARGEST_HEX: Final = 2**32 - 1
_LONGEST_INTEGER: Final = 40
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE_END: Final = re.compile(r"\r\n|[\n\r\u2028\u2029]")
# The tokens of a text that the json5 package has found to be well formed.
_TOKEN: Final = re.compile(
    r"""(?P<blank>[\s\ufeff]+|//[^\n\r\u2028\u2029]*|/\*.*?\*/)
      | (?P<mark>[{}\[\]:,])
      | (?P<word>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | (?:(?!//|/\*)[^\s\ufeff{}\[\]:,"'])+)""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True)
class Name:
    """A key of an object."""

    text: str
    place: Place


@dataclass(frozen=True)
class Object:
    """The pairs of an object in the order of the file, duplicates included.

    `strict` refuses keys that its Spec would ignore: NativeLink does so in the items of legacy maps.
    """

    pairs: tuple[tuple[Name, Value], ...]
    strict: bool = False


@dataclass(frozen=True)
class Value:
    """A value and where it stands."""

    place: Place
    content: bool | int | float | str | tuple[Value, ...] | Object | None

    @property
    def pairs(self) -> tuple[tuple[Name, Value], ...]:
        """The pairs of an object; none for anything else."""
        return self.content.pairs if isinstance(self.content, Object) else ()

    @property
    def items(self) -> tuple[Value, ...]:
        """The items of a list; none for anything else."""
        return self.content if isinstance(self.content, tuple) else ()

    @property
    def kind(self) -> str:
        """What it is, for people."""
        match self.content:
            case None:
                return "null"
            case bool():
                return "a boolean"
            case int():
                return "an integer"
            case float():
                return "a number with a fraction or an exponent"
            case str():
                return "a text"
            case tuple():
                return "a list"
            case Object():
                return "an object"

    def get(self, key: str) -> Value | None:
        """What an object says under a key, the last one where it says it twice; None when it does not."""
        return next((value for name, value in reversed(self.pairs) if name.text == key), None)


@dataclass(frozen=True)
class Document:
    """One file: its root value, its lines for excerpts, and what is wrong with single numbers in it."""

    root: Value
    lines: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    def excerpt(self, place: Place) -> str:
        """The line that a place is in; empty for a place that is the file itself."""
        return self.lines[place.line - 1] if 0 < place.line <= len(self.lines) else ""


def under(path: str, key: str) -> str:
    """The config path of a key of the object at `path`."""
    if not _PLAIN_KEY.fullmatch(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def end_of_value(text: str, start: int) -> int:
    """The offset behind the value that begins at this offset of a text which `parse` took."""
    depth = 0
    for match in _TOKEN.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(match[0], 0)
        if depth == 0 and match.lastgroup != "blank":
            return match.end()
    return len(text)


def parse(text: str, file: str) -> Document:
    """The values of a JSON5 text. Raises ConfigError with one problem where it is not JSON5."""
    lines = _Lines(text, file)
    try:
        parsed, _, error_at = _parsed(text)
        if error_at is not None:
            raise ConfigError([lines.problem(error_at, _complaint(text, error_at))])
        places = _Places(text, lines)
        root = places.value(parsed, "")
    except RecursionError:
        raise ConfigError([lines.problem(0, "objects and lists are nested too deeply")]) from None
    return Document(root, lines.texts, tuple(places.problems))


def _parsed(text: str) -> tuple[Any, str | None, int | None]:
    """Value, message, and the offset of the error if there is one."""
    if not text:
        return None, "empty", 0
    value, message, position = json5.parse(text, object_pairs_hook=_Pairs, parse_int=_integer)
    return value, message, None if message is None else _first_wrong(text, position)


class _Pairs(list[tuple[str, Any]]):
    """An object of the json5 package, duplicates included."""


def _integer(text: str, base: int = 10) -> int:
    # Python refuses to read very long decimal integers; every one of them is out of range.
    return int(text[:_LONGEST_INTEGER]) if base == 10 and len(text) > _LONGEST_INTEGER else int(text, base)


def _first_wrong(text: str, position: int) -> int:
    """Where the error is: the json5 package points behind the first character of what it took for a bare key."""
    suspect = text[position - 1 : position] if position else ""
    if not suspect or suspect.isspace() or suspect in "\ufeff\"'}\\" or (suspect + "a").isidentifier():
        return position
    marks = [token[0] for token in _TOKEN.finditer(text, 0, position - 1) if token.lastgroup != "blank"]
    return position - 1 if marks and marks[-1] in "{," and _innermost(marks) == "{" else position


def _innermost(tokens: list[str]) -> str:
    """The bracket that is still open after these tokens."""
    still_open: list[str] = []
    for mark in tokens:
        if mark in ("{", "["):
            still_open.append(mark)
        elif mark in ("}", "]") and still_open:
            still_open.pop()
    return still_open[-1] if still_open else ""


def _complaint(text: str, at: int) -> str:
    if not text.strip("\ufeff \t\r\n"):
        return "the file is empty: a config is an object with at least 'stores' and 'servers'"
    if at >= len(text):
        return "unexpected end of file: a bracket, brace, quote or comment is left open"
    if text[at] == "#":
        return 'unexpected "#": comments begin with // or stand between /* and */'
    return "unexpected end of line" if _LINE_END.match(text, at) else f'unexpected "{text[at]}"'


class _Lines:
    """Offsets to lines and columns, both counted from 1."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
        self.texts = tuple(_LINE_END.split(text))
        self._line = 0

    def place(self, offset: int, path: str) -> Place:
        """Where an offset is; offsets are mostly asked for in rising order."""
        line = self._line if self._starts[self._line] <= offset else 0
        while line + 1 < len(self._starts) and self._starts[line + 1] <= offset:
            line += 1
        self._line = line
        return Place(path, line + 1, offset - self._starts[line] + 1, self._file)

    def problem(self, offset: int, reason: str, path: str = "", sort: Sort = Sort.SYNTAX) -> Problem:
        """What is wrong at an offset."""
        place = self.place(offset, path)
        return Problem(place, reason, excerpt=self.texts[place.line - 1], sort=sort)


class _Places:
    """Walks a parsed value in step with the tokens of its text: values, and keys, come in the same order in both."""

    def __init__(self, text: str, lines: _Lines) -> None:
        self._lines = lines
        self._keys, self._values = _tokens(text)
        self.problems: list[Problem] = []

    def value(self, parsed: Any, path: str) -> Value:
        """The value with the place of its first character."""
        offset, token = next(self._values)
        place = self._lines.place(offset, path)
        match parsed:
            case _Pairs():
                return Value(place, Object(tuple(self._pair(key, value, path) for key, value in parsed)))
            case list():
                return Value(place, tuple(self.value(item, f"{path}[{i}]") for i, item in enumerate(parsed)))
            case int() if not isinstance(parsed, bool):
                self._judge(parsed, offset, token, path)
        return Value(place, parsed)

    def _pair(self, key: str, parsed: Any, path: str) -> tuple[Name, Value]:
        at = under(path, key)
        offset, _ = next(self._keys)
        return Name(key, self._lines.place(offset, at)), self.value(parsed, at)

    def _judge(self, number: int, offset: int, token: str, path: str) -> None:
        hexadecimal = token.lstrip("+-")[:2] in ("0x", "0X")
        if hexadecimal and abs(number) > _LARGEST_HEX:
            reason = "a hexadecimal number may be 0xFFFFFFFF at most"
            self.problems.append(self._lines.problem(offset, reason, path, Sort.VALUE))
        elif not -_LARGEST_INTEGER - 1 <= number <= _LARGEST_INTEGER:
            reason = f"an integer may be {_LARGEST_INTEGER} at most"
            self.problems.append(self._lines.problem(offset, reason, path, Sort.VALUE))


def _tokens(text: str) -> tuple[Iterator[tuple[int, str]], Iterator[tuple[int, str]]]:
    """Offset and text of every key, and of the first token of every value, in the order of the text."""
    keys, values = [], []
    tokens = [match for match in _TOKEN.finditer(text) if match.lastgroup != "blank"]
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.lastgroup == "word" and following is not None and following[0] == ":":
            keys.append((token.start(), token[0]))
        elif token.lastgroup == "word" or token[0] in "{[":
            values.append((token.start(), token[0]))
    return iter(keys), iter(values)

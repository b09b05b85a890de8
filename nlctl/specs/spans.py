"""Where every key and value of a JSON5 text begins and ends, so that edits leave the rest as it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(
    r"""(?:[\s\ufeff]+|//[^\n\r\u2028\u2029]*|/\*.*?\*/)
      | (?P<mark>[{}\[\]:,])
      | (?P<word>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | (?:(?!//|/\*)[^\s\ufeff{}\[\]:,"'])+)""",
    re.DOTALL | re.VERBOSE,
)
_COMMENT: Final = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(//[^\n]*|/\*.*?\*/)""", re.DOTALL)


@dataclass(frozen=True)
class Pair:
    """A key with its value; `end` is behind the comma that follows, where one does."""

    name: str
    start: int
    value: Node
    end: int


@dataclass(frozen=True)
class Node:
    """A value from `start` to `end`; `pairs` of an object, `items` of a list."""

    start: int
    end: int
    opening: str = ""
    pairs: tuple[Pair, ...] = ()
    items: tuple[Node, ...] = ()

    def get(self, name: str) -> Node | None:
        """The value of a key of an object."""
        return next((pair.value for pair in self.pairs if pair.name == name), None)


@dataclass
class _Reader:
    tokens: list[tuple[str, int, int]]
    at: int = 0
    ends: list[int] = field(default_factory=list)

    def node(self) -> Node:
        text, start, end = self._next()
        if text == "{":
            pairs = tuple(self._pairs())
            return Node(start, self._next()[2], text, pairs=pairs)
        if text == "[":
            items = tuple(self._items())
            return Node(start, self._next()[2], text, items=items)
        return Node(start, end)

    def _pairs(self) -> Iterator[Pair]:
        while self._peek() != "}":
            name, start, _ = self._next()
            self._next()
            value = self.node()
            yield Pair(_plain(name), start, value, self._comma(value.end))

    def _items(self) -> Iterator[Node]:
        while self._peek() != "]":
            item = self.node()
            yield item
            self._comma(item.end)

    def _comma(self, end: int) -> int:
        return self._next()[2] if self._peek() == "," else end

    def _peek(self) -> str:
        return self.tokens[self.at][0]

    def _next(self) -> tuple[str, int, int]:
        self.at += 1
        return self.tokens[self.at - 1]


def read(text: str) -> Node:
    """The root value of a text that is well-formed JSON5."""
    tokens = [(match[0], match.start(), match.end()) for match in _TOKEN.finditer(text) if match.lastgroup]
    return _Reader(tokens).node()


def comments(text: str) -> list[str]:
    """The comments of a text, in order."""
    return [match[2] for match in _COMMENT.finditer(text) if match[2]]


def _plain(word: str) -> str:
    return word[1:-1] if word[:1] in "\"'" else word

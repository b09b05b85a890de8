"""What is wrong with a config, where it stands, and how that is shown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nlserver.errors import Code, Error
from nlserver.spec import Place

_WIDEST_EXCERPT: Final = 100
_LEAST_CONTAINED: Final = 4
# Configs come from anywhere: what a terminal would obey is shown as a dot, at the width of one column.
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


class Sort(StrEnum):
    """What kind of problem it is, for whoever gives problems public names."""

    SYNTAX = "syntax"
    """It cannot be read, or is no JSON5."""
    UNKNOWN = "unknown"
    """A key or kind that nothing takes."""
    MISSING = "missing"
    """A key that must be there."""
    VALUE = "value"
    """A value that its key does not take."""
    VARIABLE = "variable"
    """An environment variable that is not set."""
    TOGETHER = "together"
    """Values that cannot stand together."""
    NAME = "name"
    """A name that leads nowhere."""
    OLD_SHAPE = "old shape"
    """A shape of older releases."""
    UNAVAILABLE = "unavailable"
    """Something that NativeLink has and this version does not."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. A config with a `fatal` one cannot run; the others are worth knowing.

    `nearest` is the valid key or value that may have been meant, `excerpt` the line of the file that `place` is in.
    A place on line 0 is the file itself.
    """

    place: Place
    reason: str
    nearest: str | None = None
    fatal: bool = True
    excerpt: str = ""
    sort: Sort = Sort.VALUE


class ConfigError(Error):
    """A config cannot be used; holds every problem of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        fatal = [problem for problem in problems if problem.fatal]
        more = len(fatal) - 1
        others = f", and {more} more {'problem' if more == 1 else 'problems'}" if more else ""
        super().__init__(Code.INVALID_ARGUMENT, f"{_sentence(fatal[0])}{others}", where=_position(fatal[0].place))
        self.problems = list(problems)


def nearest(wrong: str, valid: Iterable[str]) -> str | None:
    """The valid word that `wrong` is most likely to have meant, or None when none is near."""
    words = {word.lower(): word for word in valid}
    lowered = wrong[:200].lower()
    if close := difflib.get_close_matches(lowered, words, n=1, cutoff=0.6):
        return words[close[0]]
    contained = [
        word
        for word in words
        if (lowered in word or word in lowered) and min(len(word), len(lowered)) >= _LEAST_CONTAINED
    ]
    return words[max(contained, key=len)] if contained else None


def render(problems: Iterable[Problem]) -> str:
    """The problems as a compiler shows them, in the order of the file: one line, the source line and a caret each."""
    ordered = sorted(problems, key=lambda problem: (problem.place.file, problem.place.line, problem.place.column))
    return "".join(_shown(problem) for problem in dict.fromkeys(ordered))


def _shown(problem: Problem) -> str:
    level = "error" if problem.fatal else "warning"
    head = f"{_position(problem.place)}: {level}: {_sentence(problem)}"
    if not problem.place.line or not problem.excerpt:
        return f"{head}\n"
    line, column = _window(problem.excerpt, problem.place.column)
    return f"{head}\n    {line}\n    {' ' * (column - 1)}^\n"


def _position(place: Place) -> str:
    where = f"{place.file}:{place.line}:{place.column}" if place.line else place.file
    return _safe(where)


def _sentence(problem: Problem) -> str:
    path = f"{problem.place.path}: " if problem.place.path else ""
    meant = f' (did you mean "{problem.nearest}"?)' if problem.nearest else ""
    return _safe(f"{path}{problem.reason}{meant}")


def _window(line: str, column: int) -> tuple[str, int]:
    """The part of a long line around a column, and the column in it; columns count from 1."""
    if len(line) <= _WIDEST_EXCERPT:
        return _safe(line), column
    start = min(max(0, column - 1 - _WIDEST_EXCERPT // 2), max(0, len(line) - _WIDEST_EXCERPT))
    return _safe(line[start : start + _WIDEST_EXCERPT]), column - start


def _safe(text: str) -> str:
    return _UNSAFE.sub(lambda match: " " if match[0] == "\t" else "\N{MIDDLE DOT}", text)

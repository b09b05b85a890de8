"""Single values by their grammar: texts, sizes, durations, numbers, flags."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, assert_never

from nlserver.config import units
from nlserver.config.document import Value
from nlserver.config.environment import UnsetError, expand
from nlserver.config.problem import Sort
from nlserver.spec import Grammar

_FLAGS: Final = {"true": True, "false": False}
_LONGEST_NUMBER: Final = 40


class Unfit(Exception):
    """A value is not what its key takes; `nearest` is the word that may have been meant."""

    def __init__(self, reason: str, nearest: str | None = None, sort: Sort = Sort.VALUE) -> None:
        super().__init__(reason)
        self.sort = sort
        self.reason = reason
        self.nearest = nearest


def scalar(grammar: Grammar, value: Value, environment: Mapping[str, str], most: int) -> str | int | bool:
    """What a value says under one of the grammars, at most `most` where it is an integer. Raises Unfit."""
    try:
        match grammar:
            case Grammar.TEXT:
                return expand(literal(value), environment)
            case Grammar.FLAG:
                return _flag(value, environment)
            case Grammar.SIZE:
                return _limited(_counted(value, units.size, "size", environment), most)
            case Grammar.DURATION:
                return _limited(_counted(value, units.duration, "duration", environment), most)
            case Grammar.SIGNED_DURATION:
                if isinstance(value.content, int) and not isinstance(value.content, bool):
                    return value.content
                return _limited(_counted(value, units.duration, "duration", environment), most)
            case Grammar.NUMBER:
                return _limited(_number(value, environment), most)
            case _:
                assert_never(grammar)
    except UnsetError as error:
        raise Unfit(str(error), sort=Sort.VARIABLE) from None


def literal(value: Value) -> str:
    """A text as it stands. Raises Unfit."""
    if not isinstance(value.content, str):
        raise Unfit(f"expected a text, found {value.kind}")
    return value.content


def boolean(value: Value) -> bool:
    """`true` or `false`, not as a text. Raises Unfit."""
    if not isinstance(value.content, bool):
        raise Unfit(f"expected true or false, found {value.kind}")
    return value.content


def integer(value: Value, most: int) -> int:
    """A plain integer from 0 to `most`, not as a text. Raises Unfit."""
    return _limited(_plain(value, "an integer"), most)


def cast(value: Value, most: int) -> int:
    """An integer as NativeLink's direct decoder takes it: 2.9 is 2, what is negative is 0. Raises Unfit."""
    if isinstance(value.content, bool) or not isinstance(value.content, int | float):
        raise Unfit(f"expected an integer, found {value.kind}")
    number = value.content
    if isinstance(number, float) and math.isnan(number):
        return 0
    return most if number > most else max(0, int(number)) if math.isfinite(number) else 0


def real(value: Value) -> float:
    """A number with or without a fraction, not as a text. Raises Unfit."""
    if isinstance(value.content, bool) or not isinstance(value.content, int | float):
        raise Unfit(f"expected a number, found {value.kind}")
    if not math.isfinite(value.content):
        raise Unfit("expected a finite number")
    return float(value.content)


def _plain(value: Value, what: str) -> int:
    if isinstance(value.content, bool) or not isinstance(value.content, int):
        raise Unfit(f"expected {what}, found {value.kind}")
    return value.content


def _counted(value: Value, read: units.Reader, what: str, environment: Mapping[str, str]) -> int:
    """A size or a duration: an integer, or a text in its own grammar."""
    if not isinstance(value.content, str):
        number = _plain(value, f"a {what} (an integer or a text)")
        if number < 0:
            raise Unfit(f"a negative {what} is not allowed")
        return number
    text = expand(value.content, environment)
    try:
        return read(text)
    except ValueError as error:
        raise Unfit(str(error)) from None


def _number(value: Value, environment: Mapping[str, str]) -> int:
    if not isinstance(value.content, str):
        return _plain(value, "an integer")
    if not value.content:
        raise Unfit("an empty text is not a number")
    text = expand(value.content, environment).strip()
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise Unfit(f"{units.shown(text)} is not a number: write a decimal integer")
    return int(text[:_LONGEST_NUMBER])


def _flag(value: Value, environment: Mapping[str, str]) -> bool:
    if not isinstance(value.content, str):
        return boolean(value)
    text = expand(value.content, environment).strip()
    if (flag := _FLAGS.get(text.lower())) is None:
        raise Unfit(f"expected true or false, found the text {units.shown(text)}")
    return flag


def _limited(number: int, most: int) -> int:
    if number < 0:
        raise Unfit(f"{number} is negative; the least is 0")
    if number > most:
        raise Unfit(f"{number if number < 10**_LONGEST_NUMBER else 'the number'} is too large; the most is {most}")
    return number

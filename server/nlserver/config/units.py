"""Sizes and durations as texts. The grammars are those of NativeLink's parsers (byte-unit and humantime)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Final

Reader = Callable[[str], int]
"""Reads a text; raises ValueError with a reason."""

_NUMBER: Final = r"[0-9]{1,40}(?:\.[0-9]{1,40})?"
_SIZE: Final = re.compile(rf"({_NUMBER})\s*(?:([kmgtpe])(i?))?(b|bits?)?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
_PART: Final = re.compile(rf"\s*({_NUMBER})\s*([a-zA-Zµμ]+)")
_UNITS: Final = {
    "ns nsec nanos": Fraction(1, 10**9),
    "us µs μs usec micros": Fraction(1, 10**6),
    "ms msec millis": Fraction(1, 1000),
    "s sec secs second seconds": Fraction(1),
    "m min mins minute minutes": Fraction(60),
    "h hr hrs hour hours": Fraction(3600),
    "d day days": Fraction(86_400),
    "w wk wks week weeks": Fraction(7 * 86_400),
    "M month months": Fraction(2_630_016),
    "y yr yrs year years": Fraction(31_557_600),
}
_SECONDS: Final = {unit: seconds for units, seconds in _UNITS.items() for unit in units.split()}


def size(text: str) -> int:
    """Bytes of a text such as `10gb` (powers of 1000), `10Gi` (powers of 1024) or `1.5k`, rounded up; case is ignored.

    Raises ValueError with a reason.
    """
    stripped = text.strip()
    if not stripped:
        raise ValueError("missing value in a size")
    if stripped.startswith("-"):
        raise ValueError("a negative size is not allowed")
    if (match := _SIZE.fullmatch(stripped)) is None:
        raise ValueError(f'{shown(stripped)} is not a size: write an integer, or a text such as "10gb" or "512Mi"')
    number, prefix, binary, bits = match.groups()
    unit: int = (1024 if binary else 1000) ** _POWERS[(prefix or "").lower()]
    return math.ceil(Fraction(number) * unit / (8 if len(bits or "") > 1 else 1))


def duration(text: str) -> int:
    """Whole seconds of a text such as `1h30m`, `90 sec` or `1.5h`; parts of a second are dropped.

    Units are case-sensitive: `M` is a month, `m` a minute. Raises ValueError with a reason.
    """
    stripped = text.strip()
    if not stripped:
        raise ValueError("missing value in a duration")
    if stripped.startswith("-"):
        raise ValueError("a negative duration is not allowed in a text")
    if stripped == "0":
        return 0
    return math.floor(_parts(stripped))


def _parts(text: str) -> Fraction:
    total, position = Fraction(0), 0
    while position < len(text):
        if (match := _PART.match(text, position)) is None:
            raise ValueError(_complaint(text))
        number, unit = match.groups()
        if unit not in _SECONDS:
            raise ValueError(f"unknown time unit {shown(unit)}: units are ns us ms s m h d w M y, or their words")
        total += Fraction(number) * _SECONDS[unit]
        position = match.end()
    return total


def _complaint(text: str) -> str:
    if re.fullmatch(_NUMBER, text):
        return f"time unit needed, for example {text}sec or {text}ms"
    return f'{shown(text)} is not a duration: write an integer of seconds, or a text such as "90s" or "1h30m"'


def shown(text: str) -> str:
    """A text in quotes, shortened when it is long."""
    return f'"{text}"' if len(text) <= 60 else f'"{text[:57]}..."'

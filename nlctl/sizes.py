"""Sizes as people and configs write them. Pure."""

from __future__ import annotations

import re
from typing import Final

from nlctl.faults import USAGE, Fault, fix

_SIZE: Final = re.compile(r"([0-9]{1,20})\s*(?:([kmgtpe])(i?)b?|b)?", re.IGNORECASE)
_POWERS: Final = "kmgtpe"


def parse(text: str) -> int:
    """Bytes: `10gb` and `10g` are powers of 1000, `10Gi` of 1024, as in the configs. Raises Fault USAGE."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (count := _bytes(match)) <= 0:
        raise Fault(USAGE, f"{text!r} is no size", fixes=[fix("write 10gb, 500mb or 2Gi")])
    return count


def _bytes(match: re.Match[str]) -> int:
    number, unit, binary = match.groups()
    power = _POWERS.index(unit.lower()) + 1 if unit else 0
    base = 1024 if binary else 1000
    count: int = int(number) * base**power
    return count

"""Numbers as characters: sparklines, bars, and curves of braille dots. Pure.

Each has a form in plain ASCII for screens that cannot show the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

_SPARKS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_SPARKS: Final = "_.-=+*%#"
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_FULL: Final = "█"
# Unicode's braille block: the bit of each dot, by column and from the top.
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BLANK: Final = 0x2800


def spark(values: Sequence[float | None], width: int, *, most: float | None = None, ascii_only: bool = False) -> str:
    """The last `width` values as a line of small bars; from 0 to `most`, or to the greatest. None is a blank."""
    shown = list(values)[-width:]
    top = most if most is not None else max((one for one in shown if one is not None), default=0.0)
    levels = _PLAIN_SPARKS if ascii_only else _SPARKS
    bars = "".join(" " if one is None else levels[_level(one, top, len(levels))] for one in shown)
    return bars.rjust(width)


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """A share of 1 as a bar of exactly `width` cells."""
    share = min(max(share, 0.0), 1.0)
    if ascii_only:
        return ("#" * round(share * width)).ljust(width, ".")
    eighths = round(share * width * 8)
    partly = _EIGHTHS[eighths % 8] if eighths % 8 else ""
    return (_FULL * (eighths // 8) + partly).ljust(width)


def curve(
    points: Sequence[tuple[float, float]], width: int, height: int, *, least: float, most: float, ascii_only: bool
) -> list[str]:
    """Points (x, y) joined to a curve in `height` lines of `width` cells; y runs from `least` to `most`."""
    across, down = (width, height) if ascii_only else (width * 2, height * 4)
    lit: set[tuple[int, int]] = set()
    if points:
        first, last = points[0][0], points[-1][0]
        placed = [(_place(x, first, last, across), down - 1 - _place(y, least, most, down)) for x, y in points]
        lit.add(placed[0])
        for (x0, y0), (x1, y1) in itertools.pairwise(placed):
            lit.update(_joined(x0, y0, x1, y1))
    return [_row(lit, line, width, ascii_only=ascii_only) for line in range(height)]


def _row(lit: set[tuple[int, int]], line: int, width: int, *, ascii_only: bool) -> str:
    if ascii_only:
        return "".join("*" if (x, line) in lit else " " for x in range(width))
    cells = []
    for x in range(width):
        bits = [_DOTS[dx][dy] for dx in (0, 1) for dy in range(4) if (2 * x + dx, 4 * line + dy) in lit]
        cells.append(chr(_BLANK + sum(bits)))
    return "".join(cells)


def _joined(x0: int, y0: int, x1: int, y1: int) -> set[tuple[int, int]]:
    steps = max(abs(x1 - x0), abs(y1 - y0), 1)
    return {(round(x0 + (x1 - x0) * n / steps), round(y0 + (y1 - y0) * n / steps)) for n in range(steps + 1)}


def _place(value: float, least: float, most: float, count: int) -> int:
    if most <= least:
        return 0
    return min(max(round((value - least) / (most - least) * (count - 1)), 0), count - 1)


def _level(value: float, top: float, count: int) -> int:
    return min(max(int(value / top * count), 0), count - 1) if top > 0 else 0

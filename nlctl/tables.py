"""Tables that fit a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nlctl.watch.spans import cells, cut

GAP: Final = "  "
_LEAST: Final = 8


def fitted(
    headers: Sequence[str], rows: Sequence[Sequence[str]], room: int | None, *, ascii_only: bool
) -> tuple[list[str], list[list[str]]]:
    """The table in lines of at most `room` cells, or as it is where that is None: its headers and rows.

    Columns that say nothing go first, then the widest give way. The first one, which names the rows, stays whole, so
    that lines are longer than the room where it alone is too wide for it.
    """
    shown = [list(headers), *map(list, rows)]
    if room is not None and width(shown) > room:
        shown = _telling(shown)
        widths = _narrowed(_widths(shown), [max(_LEAST, cells(header)) for header in shown[0]], room)
        shown = [
            [cut(text, width, ascii_only=ascii_only) for text, width in zip(line, widths, strict=True)]
            for line in shown
        ]
    return shown[0], shown[1:]


def lines(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The header and the rows, aligned."""
    widths = _widths([headers, *rows])
    return [
        GAP.join(text + " " * (width - cells(text)) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in [headers, *rows]
    ]


def width(shown: Sequence[Sequence[str]]) -> int:
    """How many cells these lines take."""
    return sum(_widths(shown)) + len(GAP) * (len(shown[0]) - 1)


def _telling(shown: Sequence[Sequence[str]]) -> list[list[str]]:
    kept = [n for n in range(len(shown[0])) if n == 0 or any(line[n] != "-" for line in shown[1:])]
    return [[line[n] for n in kept] for line in shown]


def _narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    made = list(widths)
    while sum(made) + len(GAP) * (len(made) - 1) > room:
        yielding = [n for n in range(1, len(made)) if made[n] > least[n]]
        if not yielding:
            break
        made[max(yielding, key=made.__getitem__)] -= 1
    return made


def _widths(shown: Sequence[Sequence[str]]) -> list[int]:
    return [max(cells(line[n]) for line in shown) for n in range(len(shown[0]))]

"""Rows as a picture: SVG bars, one group a line, each target as a share of the bare server. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from nlctl import svg
from nlctl.bench.report import human_megabytes, human_value
from nlctl.bench.row import Row

_WIDTH: Final = 1100
_LEFT: Final = 290
_RIGHT: Final = 290
_TOP: Final = 70
_BAR: Final = 14
_GAP: Final = 10


@dataclass(frozen=True)
class _Bar:
    """`share` is that of the bare server, or of the best of the line where none stands beside it."""

    row: Row
    share: float
    least: float
    most: float


def picture(rows: Sequence[Row], subtitle: str) -> str:
    """The whole SVG document."""
    groups = _groups(rows)
    targets = list(dict.fromkeys(bar.row.target for bars in groups.values() for bar in bars))
    colors = {target: svg.COLORS[place % len(svg.COLORS)] for place, target in enumerate(targets)}
    longest = max([1.0, *(bar.most for bars in groups.values() for bar in bars)])
    height = _TOP + sum(len(bars) * _BAR + _GAP for bars in groups.values()) + 30
    body = [*_head(subtitle, colors), *_axis(longest, height), *_bars(groups, colors, longest)]
    return svg.document(_WIDTH, height, body)


def _groups(rows: Sequence[Row]) -> dict[str, list[_Bar]]:
    """Bars by what their line is; lines without a single figure are left out."""
    groups: dict[str, list[_Bar]] = {}
    for what in dict.fromkeys(row.what for row in rows):
        shown = [row for row in rows if row.what == what and not row.bare and row.value]
        if shown:
            groups[what] = [_bar(row, shown) for row in shown]
    return groups


def _bar(row: Row, line: Sequence[Row]) -> _Bar:
    assert row.value is not None
    if row.of_bare is not None and row.of_bare_rounds:
        return _Bar(row, row.of_bare, min(row.of_bare_rounds), max(row.of_bare_rounds))
    values = [other.value for other in line if other.value]
    if row.more_is_better:
        best = max(values)
        return _Bar(row, row.value / best, min(row.rounds) / best, max(row.rounds) / best)
    best = min(values)
    return _Bar(row, best / row.value, best / max(row.rounds), best / min(row.rounds))


def _head(subtitle: str, colors: dict[str, str]) -> Iterator[str]:
    yield from svg.heading("nlctl bench: share of bare gRPC on the same machine", subtitle)
    x = _LEFT
    for target, color in colors.items():
        yield f'<rect x="{x}" y="50" width="10" height="10" fill="{color}"/>'
        yield f'<text x="{x + 14}" y="59">{escape(target)}</text>'
        x += 34 + 7 * len(target)


def _axis(longest: float, height: int) -> Iterator[str]:
    step = next(step for step in (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0, longest) if longest / step <= 6)
    mark = 0.0
    while mark <= longest:
        x = _x(mark, longest)
        kind = "o" if mark == 1 else "g"
        yield f'<line class="{kind}" x1="{x:.1f}" y1="{_TOP - 4}" x2="{x:.1f}" y2="{height - 22}"/>'
        yield f'<text class="v" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{mark:g}</text>'
        mark += step


def _bars(groups: dict[str, list[_Bar]], colors: dict[str, str], longest: float) -> Iterator[str]:
    y = float(_TOP)
    for what, bars in groups.items():
        middle = y + len(bars) * _BAR / 2 + 4
        yield f'<text x="{_LEFT - 8}" y="{middle:.1f}" text-anchor="end">{escape(what)}</text>'
        for bar in bars:
            width, color = _x(bar.share, longest) - _LEFT, colors[bar.row.target]
            yield f'<rect x="{_LEFT}" y="{y + 1:.1f}" width="{width:.1f}" height="{_BAR - 2}" fill="{color}"/>'
            low, high, level = _x(bar.least, longest), _x(bar.most, longest), y + _BAR / 2
            end, text = max(high, _LEFT + width) + 6, escape(_label(bar.row))
            yield f'<line class="w" x1="{low:.1f}" y1="{level:.1f}" x2="{high:.1f}" y2="{level:.1f}"/>'
            yield f'<text class="v" x="{end:.1f}" y="{level + 4:.1f}">{text}</text>'
            y += _BAR
        y += _GAP


def _label(row: Row) -> str:
    text = f"{human_value(row.value)} {row.unit}"
    if row.bytes_per_second:
        text += f", {human_megabytes(row.bytes_per_second)} MB/s"
    times = {"p50": row.p50_ms, "p95": row.p95_ms, "p99": row.p99_ms}
    told = [f"{name} {human_value(value)}" for name, value in times.items() if value is not None]
    return f"{text}, {' '.join(told)} ms" if told else text


def _x(share: float, longest: float) -> float:
    return _LEFT + share / longest * (_WIDTH - _LEFT - _RIGHT)

"""Metrics over time: what is drawn of each, on a terminal or as SVG. Pure.

Counters are drawn as what they grow in a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from nlctl import svg
from nlctl.watch.catalogue import Sample
from nlctl.watch.marks import curve
from nlctl.watch.spans import fit

_LABEL: Final = 9
_MOST_DRAWN: Final = 8
_WIDTH: Final = 960
_HEIGHT: Final = 300
_LEFT: Final = 90
_TOP: Final = 60
_LEGEND_LINE: Final = 16


@dataclass
class Curve:
    """One sample over time: (seconds, value), in order."""

    title: str
    unit: str
    points: list[tuple[float, float]] = field(default_factory=list)

    @property
    def limits(self) -> tuple[float, float]:
        """The least value or 0, and the greatest."""
        values = [value for _, value in self.points]
        return min([0.0, *values]), max([0.0, *values]) or 1.0


def curves(taken: Sequence[tuple[float, Sequence[Sample]]]) -> list[Curve]:
    """The samples that were taken at these moments, each as a curve of at least one point."""
    values: dict[str, list[tuple[float, float]]] = {}
    known: dict[str, Sample] = {}
    for moment, samples in taken:
        for sample in samples:
            values.setdefault(sample.title, []).append((moment, sample.value))
            known[sample.title] = sample
    made = [_curve(known[title], points) for title, points in values.items()]
    return [one for one in made if one.points]


def drawn(curves: Sequence[Curve], width: int, height: int, *, ascii_only: bool) -> list[str]:
    """Charts one below the other, each under its name, `height` lines and `width` cells large."""
    lines: list[str] = []
    for one in curves[:_MOST_DRAWN]:
        low, high = one.limits
        rows = curve(one.points, width - _LABEL - 1, height, least=low, most=high, ascii_only=ascii_only)
        marks = [short(high), *[""] * (height - 2), short(low)]
        lines.append(f"{one.title}  {one.unit}  last {short(one.points[-1][1])}")
        lines += [f"{fit(mark, _LABEL, right=True)} {row}" for mark, row in zip(marks, rows, strict=True)]
    if curves:
        lines.append(f"{'':>{_LABEL}} {_seconds(curves):.0f} seconds")
    if len(curves) > _MOST_DRAWN:
        lines.append(f"{len(curves) - _MOST_DRAWN} more are not drawn: name fewer metrics")
    return lines


def picture(curves: Sequence[Curve], subtitle: str) -> str:
    """All curves in one chart, the whole SVG document."""
    low = min((one.limits[0] for one in curves), default=0.0)
    high = max((one.limits[1] for one in curves), default=1.0)
    begin = min((one.points[0][0] for one in curves), default=0.0)
    height = _HEIGHT + _LEGEND_LINE * len(curves) + 20
    body = [*svg.heading("nlctl metrics", subtitle), *_axes(low, high, _seconds(curves))]
    for number, one in enumerate(curves):
        color = svg.COLORS[number % len(svg.COLORS)]
        places = " ".join(f"{_x(x - begin, curves):.1f},{_y(value, low, high):.1f}" for x, value in one.points)
        body.append(f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        y = _HEIGHT + 20 + _LEGEND_LINE * number
        body.append(f'<rect x="{_LEFT}" y="{y}" width="10" height="10" fill="{color}"/>')
        body.append(f'<text x="{_LEFT + 14}" y="{y + 9}">{escape(f"{one.title}  {one.unit}")}</text>')
    return svg.document(_WIDTH, height, body)


def short(value: float) -> str:
    """1234567 as `1.23M`."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _curve(sample: Sample, points: list[tuple[float, float]]) -> Curve:
    if sample.metric.kind != "counter":
        return Curve(sample.title, sample.metric.unit, points)
    grown = [(x1, max(0.0, y1 - y0) / (x1 - x0)) for (x0, y0), (x1, y1) in itertools.pairwise(points) if x1 > x0]
    return Curve(sample.title, f"{sample.metric.unit}/s", grown)


def _seconds(curves: Sequence[Curve]) -> float:
    begin = min((one.points[0][0] for one in curves), default=0.0)
    return max((one.points[-1][0] for one in curves), default=0.0) - begin


def _axes(low: float, high: float, seconds: float) -> Iterator[str]:
    for share in (0.0, 0.5, 1.0):
        y = _y(low + share * (high - low), low, high)
        yield f'<line class="g" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - 20}" y2="{y:.1f}"/>'
        text = short(low + share * (high - low))
        yield f'<text class="v" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    yield f'<text class="v" x="{_WIDTH - 20}" y="{_HEIGHT + 4}" text-anchor="end">{seconds:.0f} seconds</text>'


def _x(seconds: float, curves: Sequence[Curve]) -> float:
    whole = _seconds(curves)
    return _LEFT + (seconds / whole if whole else 0.0) * (_WIDTH - 20 - _LEFT)


def _y(value: float, low: float, high: float) -> float:
    bottom = _HEIGHT - 10
    return bottom - (value - low) / (high - low) * (bottom - _TOP)

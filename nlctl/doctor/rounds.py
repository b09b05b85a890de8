"""The same ways gone again and again: what changed from one round to the next, and what all rounds came to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from nlctl.bench.histogram import Histogram
from nlctl.ui import stamp

_UNITS: Final = 1000
"""Times are counted in microseconds."""


class Leg(NamedTuple):
    """One layer of a way in one round: how long it took, and what went wrong there, "" for nothing."""

    layer: str
    milliseconds: float
    trouble: str = ""


class Change(NamedTuple):
    """What a round brought: the way `answers` for the first time, is `lost`, `still lost`, or `back`.

    `seconds` is how long it was lost, 0 for one that was not.
    """

    at: float
    role: str
    url: str
    event: str
    legs: Sequence[Leg]
    rounds_lost: int = 0
    seconds: float = 0.0

    @property
    def broken(self) -> Leg | None:
        """The layer at which it ends."""
        return next((leg for leg in self.legs if leg.trouble), None)

    @property
    def words(self) -> str:
        """The change in one line, without when and where."""
        times = ", ".join(f"{leg.layer} {leg.milliseconds:.1f} ms" for leg in self.legs if not leg.trouble)
        if self.broken is not None:
            return f"{self.event} at the layer {self.broken.layer}: {self.broken.trouble}" + (
                f" ({times})" if times else ""
            )
        after = f" after {self.seconds:.1f} s, {self.rounds_lost} rounds lost" if self.event == "back" else ""
        return f"{self.event}{after}: {times}"

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "event": self.event.replace(" ", "-"),
            "at": stamp(self.at),
            "role": self.role,
            "url": self.url,
            "layers": [
                {"layer": leg.layer, "ms": round(leg.milliseconds, 3), "trouble": leg.trouble or None}
                for leg in self.legs
            ],
            "rounds_lost": self.rounds_lost,
            "lost_ms": round(self.seconds * 1000),
        }


@dataclass
class Times:
    """How long a layer took, over all rounds in which it was passed."""

    histogram: Histogram = field(default_factory=Histogram)
    least: float | None = None
    most: float | None = None
    lost: int = 0

    def add(self, leg: Leg) -> None:
        """Count a round."""
        if leg.trouble:
            self.lost += 1
            return
        self.histogram.add(max(0, round(leg.milliseconds * _UNITS)))
        self.least = leg.milliseconds if self.least is None else min(self.least, leg.milliseconds)
        self.most = leg.milliseconds if self.most is None else max(self.most, leg.milliseconds)

    def share(self, share: float) -> float | None:
        """The milliseconds that this share of the rounds does not exceed; None where they were too few to tell."""
        found = self.histogram.quantile(share)
        return None if found is None else found / _UNITS


@dataclass
class Track:
    """All rounds of one way. `lost_since` is when it was lost, None while it answers."""

    role: str
    url: str
    rounds: int = 0
    lost: int = 0
    lost_since: float | None = None
    lost_rounds: int = 0
    layers: dict[str, Times] = field(default_factory=dict)

    def gone(self, legs: Sequence[Leg], now: float) -> Change | None:
        """Count a round; what is new about it, None for nothing."""
        self.rounds += 1
        for leg in legs:
            self.layers.setdefault(leg.layer, Times()).add(leg)
        if any(leg.trouble for leg in legs):
            return self._is_lost(legs, now)
        if self.lost_since is not None:
            spent, count = now - self.lost_since, self.lost_rounds
            self.lost_since, self.lost_rounds = None, 0
            return Change(now, self.role, self.url, "back", legs, count, spent)
        return Change(now, self.role, self.url, "answers", legs) if self.rounds == 1 else None

    def _is_lost(self, legs: Sequence[Leg], now: float) -> Change:
        self.lost += 1
        self.lost_rounds += 1
        event = "still lost"
        if self.lost_since is None:
            self.lost_since, event = now, "lost"
        return Change(now, self.role, self.url, event, legs, self.lost_rounds, now - self.lost_since)

    def documents(self) -> list[dict[str, Any]]:
        """One row for each layer of the way."""
        return [
            {
                "role": self.role,
                "url": self.url,
                "layer": layer,
                "rounds": len(times.histogram) + times.lost,
                "lost": times.lost,
                "least_ms": _rounded(times.least),
                "median_ms": _rounded(times.share(0.5)),
                "p95_ms": _rounded(times.share(0.95)),
                "longest_ms": _rounded(times.most),
            }
            for layer, times in self.layers.items()
        ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)

"""What came of measuring a line at a target. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field

from nlctl.bench.lines import Line
from nlctl.bench.orders import Tally, Target


@dataclass(frozen=True)
class Round:
    """One round of one target: what the load processes saw, and the server's processor time where it is ours to see."""

    tally: Tally
    server_cpu_seconds: float | None = None


@dataclass(frozen=True)
class Measured:
    """What became of one line at one target. `latency` is the open loop, `rate` what it was asked for."""

    line: Line
    target: Target
    rounds: list[Round] = field(default_factory=list)
    latency: Round | None = None
    rate: float = 0.0
    cannot: str | None = None


def calls_per_second(one: Round) -> float:
    """The rate of one round."""
    return one.tally.calls / one.tally.seconds if one.tally.seconds else 0.0

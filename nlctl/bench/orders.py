"""What the conductor tells a load process and hears from it. Values only; they travel by pickle over a pipe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nlctl.bench.histogram import Histogram
from nlctl.bench.lines import Bare, Line


@dataclass(frozen=True)
class Target:
    """A server to measure. `name` is what tables show."""

    name: str
    cas: str
    executor: str
    instance: str = ""
    cache: str = ""
    """The action cache, "" for the CAS endpoint."""
    is_bare: bool = False
    """Whether it is no server of the API but what stands beside one."""


@dataclass(frozen=True)
class Exchange:
    """How many bytes one call sends and gets: what a bare call must move to be its equal. 0 where that varies."""

    request_bytes: int
    response_bytes: int


@dataclass(frozen=True)
class Greet:
    """See whether anybody answers there. Answered by Ready or Cannot."""

    target: Target


@dataclass(frozen=True)
class SetUp:
    """Upload what the line needs and make one call that is looked at closely. Answered by Ready or Cannot."""

    target: Target
    line: Line
    seed: int
    compressible: float = 0.0


@dataclass(frozen=True)
class SetUpBare:
    """The same for what stands beside the line. `target.cas` is the address of the bare server."""

    target: Target
    bare: Bare
    exchange: Exchange
    size_bytes: int


@dataclass(frozen=True)
class Ready:
    """The line can be measured."""

    exchange: Exchange


@dataclass(frozen=True)
class Cannot:
    """The line cannot be measured there, and why in one sentence."""

    reason: str


@dataclass(frozen=True)
class Arm:
    """Have so many new requests ready, so that making them is not timed. Answered by None."""

    target: str
    calls: int


@dataclass(frozen=True)
class Go:
    """Call for `seconds`, or `calls` times when given, `at_once` at a time; or at `rate` a second when given.

    `start` is on the clock that all processes of this machine share (time.monotonic). Answered by Tally.
    """

    target: str
    start: float
    seconds: float
    at_once: int
    calls: int = 0
    rate: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Check:
    """Look closely at one more call, now that many have passed. Answered by Ready or Cannot."""

    target: str


@dataclass(frozen=True)
class Clear:
    """Forget this line's targets. Answered by None."""


@dataclass(frozen=True)
class Tally:
    """What one load process saw in one round."""

    calls: int = 0
    moved_bytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    times: Histogram = field(default_factory=Histogram)
    """Nanoseconds of each call: from its start, or from when it was due."""
    lags: Histogram = field(default_factory=Histogram)
    """Open loop: nanoseconds from when a call was due until it was made: the load process's own lateness."""

    @classmethod
    def together(cls, parts: Iterable[Tally]) -> Tally:
        """The work of several processes in the same time, as one."""
        made = cls()
        for one in parts:
            names = {**made.errors, **one.errors}
            made = cls(
                made.calls + one.calls,
                made.moved_bytes + one.moved_bytes,
                max(made.seconds, one.seconds),
                made.cpu_seconds + one.cpu_seconds,
                {name: made.errors.get(name, 0) + one.errors.get(name, 0) for name in names},
                made.times + one.times,
                made.lags + one.lags,
            )
        return made


Order = Greet | SetUp | SetUpBare | Arm | Go | Check | Clear
Answer = Ready | Cannot | Tally | None

"""Measuring lines: targets and the bare server take turns, round by round, so that what disturbs one disturbs all."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from nlctl.bench import serving
from nlctl.bench.crew import Crew
from nlctl.bench.lines import Bare, Kind, Line
from nlctl.bench.orders import Arm, Check, Clear, Exchange, SetUp, SetUpBare, Tally, Target
from nlctl.bench.outcome import Measured, Round, calls_per_second

_LONGEST_WARM_UP_SECONDS: Final = 0.3
_ARMED_MORE: Final = 1.3
_LATENCY_LOAD: Final = 0.5
_LEAST_RATE: Final = 1.0
_HERE: Final = Target("bare", "", "", is_bare=True)
"""What needs no server."""


@dataclass(frozen=True)
class Effort:
    """How long to measure. With `calls` a round ends after so many; a `rate` of 0 chooses one for the open loop."""

    seconds: float = 1.0
    rounds: int = 3
    calls: int = 0
    rate: float = 0.0
    compressible: float = 0.0

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


class Bench:
    """Measures lines at targets. `on_step` is told what is being done."""

    def __init__(self, crew: Crew, targets: Sequence[Target], effort: Effort, on_step: Callable[[str], None]) -> None:
        self._crew = crew
        self._targets = targets
        self._effort = effort
        self._on_step = on_step
        self._servers: Mapping[Target, frozenset[int]] = {
            target: serving.processes({target.cas, target.executor} - {""}) for target in [*targets, crew.bare, _HERE]
        }
        self._chance = random.SystemRandom()

    def measure(self, line: Line) -> list[Measured]:
        """One line at every target, and what stands beside it, in the order of the targets with the bare one last."""
        reasons: dict[Target, str] = {}
        exchange: Exchange | None = None
        for target in self._targets:
            self._on_step(f"{line.what}: {target.name} gets what it needs")
            ready = self._crew.prepared([self._set_up(target, line) for _ in range(self._crew.size)])
            if isinstance(ready, str):
                reasons[target] = ready
            else:
                exchange = exchange or ready
        able = [target for target in self._targets if target not in reasons]
        beside = self._beside(line, exchange) if able else []
        measured = self._rounds(line, [*able, *beside])
        for target in able:
            wrong = self._crew.prepared([Check(target.name)] * self._crew.size)
            if isinstance(wrong, str):
                measured[target] = Measured(line, target, cannot=f"after the load: {wrong}")
        measured |= {target: Measured(line, target, cannot=reason) for target, reason in reasons.items()}
        self._crew.all([Clear()] * self._crew.size)
        return [measured[target] for target in [*self._targets, *beside]]

    def _set_up(self, target: Target, line: Line) -> SetUp:
        return SetUp(target, line, self._chance.getrandbits(62), self._effort.compressible)

    def _beside(self, line: Line, exchange: Exchange | None) -> list[Target]:
        """The bare target, ready for calls that are like the line's."""
        if line.bare is None or exchange is None:
            return []
        target = _HERE if line.bare is Bare.SPAWN else self._crew.bare
        match line.kind:
            case Kind.MIX:
                moved = exchange.response_bytes
            case Kind.BATCH_READ | Kind.BATCH_UPDATE:
                moved = line.size_bytes * line.count
            case _:
                moved = line.size_bytes
        order = SetUpBare(target, line.bare, exchange, moved)
        refused = self._crew.prepared([order] * self._crew.size)
        assert not isinstance(refused, str), refused
        return [target]

    def _rounds(self, line: Line, targets: Sequence[Target]) -> dict[Target, Measured]:
        rates = {target: self._warm_up(line, target) for target in targets}
        rounds: dict[Target, list[Round]] = {target: [] for target in targets}
        for number in range(self._effort.rounds):
            for target in _turned(targets, number):
                self._on_step(f"{line.what}: {target.name}, round {number + 1} of {self._effort.rounds}")
                rounds[target].append(self._round(line, target, rates[target]))
        rate = self._effort.rate or _LATENCY_LOAD * _slowest(
            [rounds[target] for target in targets if not target.is_bare]
        )
        made = {}
        for target in targets:
            self._on_step(f"{line.what}: {target.name}, open loop")
            latency = self._open(target, rate) if rate >= _LEAST_RATE else None
            made[target] = Measured(line, target, rounds[target], latency, rate)
        return made

    def _warm_up(self, line: Line, target: Target) -> float:
        """Calls a second as far as a short time tells."""
        self._on_step(f"{line.what}: {target.name} warms up")
        tally = self._crew.round(target.name, min(self._effort.seconds, _LONGEST_WARM_UP_SECONDS), line.at_once)
        return tally.calls / tally.seconds

    def _round(self, line: Line, target: Target, rate: float) -> Round:
        seconds, crew = self._effort.seconds, self._crew
        calls = self._effort.calls or line.calls
        self._arm(target, calls or rate * seconds)
        return self._watched(target, lambda: crew.round(target.name, seconds, line.at_once, calls=calls))

    def _open(self, target: Target, rate: float) -> Round:
        seconds = self._effort.seconds
        self._arm(target, rate * seconds)
        seed = self._chance.getrandbits(32)
        crew = self._crew
        return self._watched(target, lambda: crew.round(target.name, seconds, crew.size, rate=rate, seed=seed))

    def _arm(self, target: Target, calls: float) -> None:
        self._crew.all([Arm(target.name, int(calls * _ARMED_MORE / self._crew.size) + 1)] * self._crew.size)

    def _watched(self, target: Target, work: Callable[[], Tally]) -> Round:
        pids = self._servers[target]
        before = serving.cpu_seconds(pids)
        tally = work()
        return Round(tally, serving.cpu_seconds(pids) - before if pids else None)


def _turned(targets: Sequence[Target], by: int) -> list[Target]:
    """The same in another order, so that nobody always comes after the same one."""
    place = by % max(len(targets), 1)
    return [*targets[place:], *targets[:place]]


def _slowest(sets: Sequence[Sequence[Round]]) -> float:
    """The median rate of the slowest: what all of them can take."""
    rates = [statistics.median(map(calls_per_second, rounds)) for rounds in sets]
    return min(rates, default=0.0)

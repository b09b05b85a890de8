"""One row of the result: what `-o json` writes (schema nlctl.bench/v1) and what tables, plots and comparisons read.

Keys are only ever added: files that people saved are compared with later runs.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self

SCHEMA: Final = "nlctl.bench/v1"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line at one target. None is what is not known or makes no sense there."""

    suite: str
    line: str
    what: str
    target: str
    bare: bool = False
    """Whether this is not a server but what stands beside it as the measure of the machine."""
    unit: str = "calls/s"
    more_is_better: bool = True
    rounds: Sequence[float] = ()
    """Each round's value."""
    of_bare_rounds: Sequence[float] = ()
    """Each round's value as a share of what the bare server did in the round beside it; more is better."""
    value: float | None = None
    spread: float | None = None
    """From the least round to the most, as a share of the median."""
    of_bare: float | None = None
    of_bare_cpu: float | None = None
    """The processor time of a bare call as a share of one here: the same on a busy machine as on an idle one."""
    bytes_per_second: float | None = None
    calls: int = 0
    at_once: int | None = None
    loop_p50_ms: float | None = None
    """Closed loop: the median time of a call while `at_once` of them are under way."""
    server_cpu_us: float | None = None
    client_cpu_us: float | None = None
    open_rate: float | None = None
    """Open loop: calls that were due a second; the times below are of these."""
    open_calls: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    most_ms: float | None = None
    lag_p99_ms: float | None = None
    """How late the load processes themselves were: times are no more exact than that."""
    errors: Mapping[str, int] = field(default_factory=dict)
    cannot: str | None = None
    note: str | None = None
    was: float | None = None
    change: float | None = None
    """How much worse (above 0) or better than what it is compared with; `of_bare` is compared where both have it."""
    change_low: float | None = None
    change_high: float | None = None
    regressed: bool | None = None

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """From JSON; keys of later versions are left out. Raises TypeError when one is missing."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in document.items() if name in known})


def median(values: Sequence[float]) -> float | None:
    """The middle one, None of none."""
    return statistics.median(values) if values else None


def spread(values: Sequence[float]) -> float | None:
    """From the least to the most as a share of the median."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else None

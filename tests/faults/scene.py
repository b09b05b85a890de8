"""All that a fault can reach and a check can look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.faults.clock import Clock
from tests.faults.load import Load
from tests.faults.promises import Evictions, Promises
from tests.faults.site import Site


@dataclass(frozen=True)
class Pace:
    """How long faults last and how many clients misbehave: short ones fit into CI."""

    stop_seconds: tuple[float, ...]
    hold_seconds: tuple[float, ...]
    crowd: int
    readers: int
    """Slow readers hold more of a server than others, each a connection and what was read for it."""


QUICK = Pace(stop_seconds=(4.0, 6.0), hold_seconds=(1.0, 3.0), crowd=300, readers=60)
LONG = Pace(stop_seconds=(4.0, 8.0, 30.0), hold_seconds=(1.0, 5.0, 12.0), crowd=1000, readers=1000)


@dataclass
class Scene:
    """A cluster, the clients that work on it, and what was promised to them."""

    site: Site
    load: Load
    promises: Promises
    evictions: Evictions
    result_evictions: Evictions
    clock: Clock
    pace: Pace
    scratch: Path

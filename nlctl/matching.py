"""Whether any worker could run an action, asked before it is submitted, so that nobody waits for ever. Pure.

Only what cannot be otherwise is refused: a property whose kind the scheduler decides (minimum, exact, priority) is
judged from what the workers offer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nlctl.admin import WorkerFacts

_OPEN = frozenset(("OSFamily", "container-image"))
"""What our schedulers' configs list as `priority`: any value fits."""


@dataclass(frozen=True)
class Mismatch:
    """A wanted property that no worker has; `offered` maps each offered value to how many workers offer it."""

    name: str
    wanted: str
    offered: Mapping[str, int]

    def __str__(self) -> str:
        if not self.offered:
            return f'{self.name}: wanted "{self.wanted}", no worker offers this property'
        offers = ", ".join(f'"{value}" ({count})' for value, count in self.offered.items())
        return f'{self.name}: wanted "{self.wanted}", workers offer {offers}'


def mismatches(wanted: Mapping[str, str], workers: Sequence[WorkerFacts]) -> list[Mismatch]:
    """Why no worker can run an action with these properties; empty when one could, now or once it is free."""
    if any(all(_fits(name, value, one) for name, value in wanted.items()) for one in workers):
        return []
    alone = [name for name, value in wanted.items() if not any(_fits(name, value, one) for one in workers)]
    return [Mismatch(name, wanted[name], _offers(name, workers)) for name in alone or wanted]


def _fits(name: str, wanted: str, worker: WorkerFacts) -> bool:
    if name in _OPEN:
        return True
    offered = worker.properties.get(name, ())
    return wanted in offered or any(_at_least(one, wanted) for one in offered if name == "cpu_count")


def _at_least(offered: str, wanted: str) -> bool:
    return offered.isdigit() and wanted.isdigit() and int(offered) >= int(wanted)


def _offers(name: str, workers: Sequence[WorkerFacts]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for worker in workers:
        for value in worker.properties.get(name, ()):
            counts[value] = counts.get(value, 0) + 1
    return counts

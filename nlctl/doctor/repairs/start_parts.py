"""Parts that are recorded and do not run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.parts_started import Started
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.launch import backends
from nlctl.launch.backend import Report
from nlctl.launch.wish import members


class State(NamedTuple):
    """The recorded parts, what their supervisor says of them (None without one), and what runs without."""

    expected: Sequence[str]
    reports: Sequence[Report] | None
    loose: int


def look(ground: Ground, about: tuple[str, ...]) -> State:
    """The record beside the processes."""
    expected = [one.name for one in members(ground.record.wish(ground.ledger.data))]
    reports = backends.of(ground.ledger).reports()
    return State(expected, reports, len(ground.ledger.leftovers()) if reports is None else 0)


def plan(state: State) -> Sequence[Change]:
    """Start what is absent or failed. Raises NoRepair when all run."""
    there = {one.name: one.state for one in state.reports or ()}
    absent = tuple(name for name in state.expected if name not in there)
    failing = tuple(name for name in state.expected if there.get(name) in ("backoff", "failed", "paused"))
    if not absent and not failing:
        raise NoRepair("every part runs by now")
    return [Started(absent, failing, state.reports is not None, state.loose)]


REPAIR: Final = Repair(
    "start_parts",
    "start parts that do not run, as `nlctl up` does",
    "parts that run stay as they are; undoing stops what was started",
    look,
    plan,
)

"""A worker that somebody told to take no work, and forgot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nlctl.admin import WorkerFacts, workers
from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.worker_uncordoned import Uncordoned
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.faults import fix
from nlctl.session import admin_of


def look(ground: Ground, about: tuple[str, ...]) -> list[WorkerFacts]:
    """Those workers as they are now."""
    return [one for one in workers(admin_of(ground.target)) if one.name in about]


def plan(found: Sequence[WorkerFacts]) -> Sequence[Change]:
    """Let those that drain take work. Raises NoRepair for one that paused itself."""
    draining = [Uncordoned(one.name) for one in found if one.state == "draining"]
    if not draining:
        told = ", ".join(f"{one.name} is {one.state}" for one in found) or "it is gone"
        raise NoRepair(f"{told}: nobody told it to take no work", fix("see what it does", "nlctl", "workers", "ls"))
    return draining


REPAIR: Final = Repair(
    "uncordon",
    "let a worker take work again",
    "it asks, for somebody may have meant it; undoing cordons it again",
    look,
    plan,
)

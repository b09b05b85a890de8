"""Parts that run something else than their files say, or count wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.parts_restarted import Restarted
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.launch import backends
from nlctl.launch.judged import judge


def look(ground: Ground, about: tuple[str, ...]) -> tuple[str, ...]:
    """Those parts that run here, whose configs can run. Raises Fault BAD_CONFIG."""
    members = [one.name for one in backends.of(ground.ledger).reports() or ()] if ground.is_here else []
    here = tuple(part for part in about if part in members)
    judge([ground.ledger.config(part) for part in here])
    return here


def plan(parts: tuple[str, ...]) -> Sequence[Change]:
    """Start them anew. Raises NoRepair for parts of another machine."""
    if not parts:
        raise NoRepair("it is no part of a cluster that nlctl runs here")
    return [Restarted(parts)]


REPAIR: Final = Repair(
    "restart_parts",
    "restart parts one after the other",
    "workers finish what they run first, and clients retry",
    look,
    plan,
)

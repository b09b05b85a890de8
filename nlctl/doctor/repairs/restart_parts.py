"""Parts that run something else than their files say, or count wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.parts_restarted import Restarted
from nlctl.doctor.repair import Repair
from nlctl.launch.judged import judge


def look(ground: Ground, about: tuple[str, ...]) -> tuple[str, ...]:
    """Those parts, whose configs can run. Raises Fault BAD_CONFIG."""
    judge([ground.ledger.config(part) for part in about])
    return about


def plan(parts: tuple[str, ...]) -> Sequence[Change]:
    """Start them anew."""
    return [Restarted(parts)]


REPAIR: Final = Repair(
    "restart_parts",
    "restart parts one after the other",
    "workers finish what they run first, and clients retry",
    look,
    plan,
)

"""What a check is. A look waits and asks, a judge decides; neither does the other's work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nlctl.doctor.finding import Finding
from nlctl.registry import Level

if TYPE_CHECKING:
    from nlctl.doctor.site import Site

AREAS: Final = (
    "host",
    "config",
    "network",
    "api",
    "cas",
    "ac",
    "execution",
    "workers",
    "sharing",
    "docker",
    "queue",
    "storage",
    "client",
    "security",
    "speed",
)
"""In the order in which they are shown; `config` asks no server."""


class NotHere(Exception):
    """The check does not apply to what is examined; its text says why."""


@dataclass(frozen=True)
class Check:
    """`needs` are the checks without which this one says nothing new: it is skipped when one of them fails.

    `look` gathers the facts within `seconds`, raises NotHere where the check does not apply and Error or Fault
    where a fact cannot be had. `judge` makes one or more findings of them, and is pure. `probe`, `verdicts` and
    `fix` are what the catalogue tells people. `repairs` are those that its findings name as remedies, `by_hand` says
    why a person must mend what they do not; one of the two is there.
    """

    id: str
    area: str
    title: str
    level: Level
    probe: str
    verdicts: str
    fix: str
    look: Callable[[Site], Awaitable[Any]]
    judge: Callable[[Any], Iterable[Finding]]
    needs: tuple[str, ...] = ()
    seconds: float = 15.0
    repairs: tuple[str, ...] = ()
    by_hand: str = ""

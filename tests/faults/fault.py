"""What a fault is: something done to a running cluster, undone again, and a time within which it must serve again."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.scene import Scene


class Fault(ABC):
    """One occurrence; `str` of it says what exactly happens. Everything random was drawn when it was made."""

    hold_seconds: float = 0.0
    """How long it lasts."""
    recovery_seconds: float = 60.0
    """How long after `heal` the cluster may take until it runs an action on every worker again."""

    spoils_actions: bool = False
    """Whether actions meanwhile may fail by themselves, and say so with their exit code."""

    @abstractmethod
    async def inject(self, scene: Scene) -> None:
        """Do it."""

    async def heal(self, scene: Scene) -> None:
        """Undo it, as far as it does not pass by itself."""


@dataclass(frozen=True)
class Kind:
    """A row of the table. `draw` makes an occurrence."""

    name: str
    draw: Callable[[random.Random, Scene], Fault]

"""What a check is: a look at a cluster at rest that names everything which should not be."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from tests.faults.scene import Scene

_LOOK_AGAIN_SECONDS: Final = 0.25


class Check(ABC):
    """`settling_seconds` is how long what it finds may take to pass by itself."""

    name: str
    settling_seconds: float = 0.0

    def begin(self, scene: Scene) -> None:
        """Remember how it was before any fault."""

    @abstractmethod
    async def findings(self, scene: Scene) -> list[str]:
        """What is wrong now. The clients are at rest."""


async def settled(checks: Sequence[Check], scene: Scene) -> list[str]:
    """What is still wrong when every check had its time; each line begins with the check's name."""
    began = time.monotonic()
    found: list[str] = []
    for check in checks:
        while wrong := await check.findings(scene):
            if time.monotonic() - began > check.settling_seconds:
                found += [f"{check.name}: {one}" for one in wrong[:20]]
                break
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    return found

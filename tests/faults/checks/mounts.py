"""What is mounted is what was."""

from __future__ import annotations

from pathlib import Path

from tests.faults.check import Check
from tests.faults.scene import Scene


class Mounts(Check):
    """Compares this run's mounts, which the parts share, with those before the first fault."""

    name = "mounts"

    def __init__(self) -> None:
        self._before: set[str] = set()

    def begin(self, scene: Scene) -> None:
        self._before = mounted()

    async def findings(self, scene: Scene) -> list[str]:
        now = mounted()
        came = [f"{one} is mounted" for one in sorted(now - self._before)]
        return came + [f"{one} is mounted no more" for one in sorted(self._before - now)]


def mounted() -> set[str]:
    """The mount points of this process."""
    return {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}

"""A disk without a byte left, for as long as it lasts: what an eviction frees is taken again at once."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults.fault import Fault, Kind
from tests.faults.scene import Scene
from tests.faults.site import Disk, Site

BALLAST: Final = ".ballast"
_STEPS: Final = (16 << 20, 1 << 20, 64 << 10, 4 << 10)


@dataclass
class Full(Fault):
    """No space on this disk."""

    disk: Disk
    hold_seconds: float
    spoils_actions: bool = False
    _filling: asyncio.Task[None] | None = field(default=None, init=False)

    def __str__(self) -> str:
        return f"no space on the disk of {self.disk.holds} for {self.hold_seconds:g} s"

    async def inject(self, scene: Scene) -> None:
        self._filling = asyncio.create_task(_keep_full(self.disk.path / BALLAST))

    async def heal(self, scene: Scene) -> None:
        assert self._filling is not None
        self._filling.cancel()
        await asyncio.gather(self._filling, return_exceptions=True)
        with suppress(FileNotFoundError):
            (self.disk.path / BALLAST).unlink()


async def _keep_full(path: Path) -> None:
    with path.open("wb") as ballast:
        while True:
            for step in _STEPS:
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, step)
            await asyncio.sleep(0.02)


def kinds(site: Site) -> list[Kind]:
    """One row for each disk."""
    return [
        Kind(
            f"full disk of {disk.holds}",
            lambda rng, scene, disk=disk: Full(disk, rng.choice(scene.pace.hold_seconds) + 1, disk.holds == "workers"),
        )
        for disk in site.disks
    ]

"""A part stands still for longer than others wait for it, and goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field

from tests.faults.fault import Fault, Kind
from tests.faults.scene import Scene
from tests.faults.site import Site
from tests.faults.up import Up


@dataclass
class Stop(Fault):
    """SIGSTOP, and SIGCONT afterwards."""

    victim: str
    hold_seconds: float
    _pid: int = field(default=0, init=False)

    def __str__(self) -> str:
        return f"SIGSTOP {self.victim} for {self.hold_seconds:g} s"

    async def inject(self, scene: Scene) -> None:
        self._pid = {**scene.site.kept(), **scene.site.parts()}[self.victim]
        os.kill(self._pid, signal.SIGSTOP)

    async def heal(self, scene: Scene) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)


def kinds(site: Site) -> list[Kind]:
    """One row for each sort of part."""
    cas = [name for name in site.parts() if name.startswith("cas")]
    rows = {"worker": site.workers, "scheduler": ["scheduler"], "CAS": cas}
    if isinstance(site, Up):
        rows["supervisor"] = ["supervisor"]
    return [
        Kind(
            f"SIGSTOP {sort}",
            lambda rng, scene, names=names: Stop(rng.choice(list(names)), rng.choice(scene.pace.stop_seconds)),
        )
        for sort, names in rows.items()
    ]

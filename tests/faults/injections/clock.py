"""The wall clock jumps under all parts at once, and back again."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.fault import Fault, Kind
from tests.faults.scene import Scene
from tests.faults.site import Site

_JUMPS = (-86_400.0, -3_600.0, -30.0, 30.0, 3_600.0, 86_400.0, 400 * 86_400.0)


@dataclass
class Jump(Fault):
    """To so many seconds beside the machine's clock."""

    seconds: float
    stays: bool
    hold_seconds: float

    def __str__(self) -> str:
        return f"the clock jumps by {self.seconds:+g} s" + ("" if self.stays else f" for {self.hold_seconds:g} s")

    async def inject(self, scene: Scene) -> None:
        scene.clock.move(self.seconds)

    async def heal(self, scene: Scene) -> None:
        if not self.stays:
            scene.clock.move(0)


def kinds(site: Site) -> list[Kind]:
    """One row; in one case of three the clock stays where it jumped to, until the next jump."""
    return [
        Kind(
            "clock jump",
            lambda rng, scene: Jump(rng.choice(_JUMPS), rng.random() < 0.34, rng.choice(scene.pace.hold_seconds)),
        )
    ]

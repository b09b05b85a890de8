"""Cables between parts of a spread cluster: cut, cut in one direction, slow. Nobody is told: packets vanish."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.faults.fault import Fault, Kind
from tests.faults.scene import Scene
from tests.faults.site import Site
from tests.faults.spread import Spread


@dataclass
class Cut(Fault):
    """Nothing passes between two parts, or between clients and a part."""

    here: str
    there: str
    hold_seconds: float
    directions: int = 3
    """1: nothing comes to `there`, 2: nothing comes from it, 3: both."""

    def __str__(self) -> str:
        way = {1: "to", 2: "from", 3: "to and from"}[self.directions]
        return f"nothing passes {way} {self.there} for {self.here}, {self.hold_seconds:g} s"

    async def inject(self, scene: Scene) -> None:
        assert isinstance(scene.site, Spread)
        network, there = scene.site.network, scene.site.hosts[self.there]
        here = there.here if self.here == "clients" else scene.site.hosts[self.here].address
        if self.directions & 1:
            network.cut(here, there.address)
        if self.directions & 2:
            network.cut(there.address, here)

    async def heal(self, scene: Scene) -> None:
        assert isinstance(scene.site, Spread)
        scene.site.network.heal()


@dataclass
class Slow(Fault):
    """Little passes to a part."""

    there: str
    kilobits: int
    hold_seconds: float

    def __str__(self) -> str:
        return f"{self.kilobits} kbit/s to {self.there} for {self.hold_seconds:g} s"

    async def inject(self, scene: Scene) -> None:
        assert isinstance(scene.site, Spread)
        scene.site.network.slow(scene.site.hosts[self.there], self.kilobits)

    async def heal(self, scene: Scene) -> None:
        assert isinstance(scene.site, Spread)
        scene.site.network.hasten(scene.site.hosts[self.there])


def kinds(site: Site) -> list[Kind]:
    """Rows for a spread cluster; none for others."""
    if not isinstance(site, Spread):
        return []

    def ends(rng: random.Random) -> tuple[str, str]:
        worker, cas = rng.choice(site.workers), rng.choice(("cas-1", "cas-2"))
        pairs = ((worker, "scheduler"), (worker, cas), ("scheduler", cas), ("clients", "scheduler"), ("clients", cas))
        return rng.choice(pairs)

    return [
        Kind("network cut", lambda rng, scene: Cut(*ends(rng), rng.choice(scene.pace.stop_seconds))),
        Kind(
            "network cut one way",
            lambda rng, scene: Cut(*ends(rng), rng.choice(scene.pace.stop_seconds), rng.choice((1, 2))),
        ),
        Kind(
            "slow network",
            lambda rng, scene: Slow(
                rng.choice(list(site.hosts)), rng.choice((64, 512)), rng.choice(scene.pace.stop_seconds)
            ),
        ),
    ]

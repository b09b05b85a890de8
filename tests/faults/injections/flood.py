"""Far more blobs than the store keeps, as fast as they go: eviction never rests, and takes what others work with."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from nlserver.errors import Error
from nlserver.reapi.client import Client

from tests.faults.fault import Fault, Kind
from tests.faults.scene import Scene
from tests.faults.site import Site

_LANES = 4


@dataclass
class Flood(Fault):
    """So many megabytes in blobs of this size."""

    seed: int
    megabytes: int
    size: int

    def __str__(self) -> str:
        return f"{self.megabytes} MB of blobs of {self.size} bytes"

    async def inject(self, scene: Scene) -> None:
        left = (self.megabytes << 20) // self.size
        rng = random.Random(self.seed)

        async def lane(endpoint: str) -> None:
            nonlocal left
            async with Client(cas=endpoint, timeout_seconds=30) as client:
                while left > 0:
                    count = min(left, max(1, (1 << 20) // self.size))
                    left -= count
                    for digest in await client.upload([rng.randbytes(self.size) for _ in range(count)]):
                        scene.promises.blob(digest, "a flood")

        endpoints = [scene.site.cas[number % len(scene.site.cas)] for number in range(_LANES)]
        for outcome in await asyncio.gather(*map(lane, endpoints), return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, Error):
                raise outcome


def kinds(site: Site) -> list[Kind]:
    """One row."""
    return [
        Kind(
            "flood of blobs",
            lambda rng, scene: Flood(
                rng.getrandbits(32), rng.choice((80, 150)), rng.choice((20_000, 200_000, 3_000_000))
            ),
        )
    ]

"""kill -9 of parts, mended by the supervisor, or by `nlctl up`, or by whoever keeps the parts of a spread cluster."""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.fault import Fault, Kind
from tests.faults.scene import Scene
from tests.faults.site import Site
from tests.faults.up import Up

SUPERVISOR = "supervisor"


@dataclass
class Kill(Fault):
    """These at once, `times` times in a row; the later ones hit what was just started again."""

    victims: Sequence[str]
    by_itself: bool = False
    times: int = 1

    def __str__(self) -> str:
        how = "comes back by itself" if self.by_itself else "mended"
        return f"kill -9 {', '.join(self.victims)}{f' x{self.times}' if self.times > 1 else ''}, {how}"

    async def inject(self, scene: Scene) -> None:
        for _ in range(self.times):
            living = {**scene.site.kept(), **scene.site.parts()}
            for victim in self.victims:
                if victim in living:
                    await asyncio.to_thread(_end, living[victim])
            if self.times > 1:
                await asyncio.sleep(0.7)

    async def heal(self, scene: Scene) -> None:
        site = scene.site
        if not self.by_itself:
            await site.mend()
            return
        assert isinstance(site, Up)
        await site.is_ready(self.recovery_seconds)


def _end(pid: int) -> None:
    """Kill a process, and return when it is dead."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [])
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def kinds(site: Site) -> list[Kind]:
    """One row for each sort of part."""
    supervised = isinstance(site, Up)
    found = [
        Kind("kill -9 worker", lambda rng, scene: _some(rng, site.workers, supervised)),
        Kind("kill -9 scheduler", lambda rng, scene: _some(rng, ["scheduler"], supervised)),
        Kind(
            "kill -9 CAS", lambda rng, scene: _some(rng, [n for n in site.parts() if n.startswith("cas")], supervised)
        ),
    ]
    if supervised:
        found += [
            Kind("kill -9 supervisor", lambda rng, scene: Kill([SUPERVISOR])),
            Kind("kill -9 everything", lambda rng, scene: Kill([SUPERVISOR, "cas", "scheduler", *site.workers])),
        ]
    return found


def _some(rng: random.Random, names: Sequence[str], supervised: bool) -> Kill:
    victims = rng.sample(list(names), rng.choice((1, 1, min(2, len(names)))))
    return Kill(victims, by_itself=supervised and rng.random() < 0.6, times=rng.choice((1, 1, 1, 2)))

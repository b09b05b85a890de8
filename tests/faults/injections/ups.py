"""`nlctl up` interrupted at any moment, and several of them at once; the next one mends whatever they left."""

from __future__ import annotations

import asyncio
import random
import signal
from dataclasses import dataclass

from tests.faults.fault import Fault, Kind
from tests.faults.injections.kill import SUPERVISOR, Kill
from tests.faults.scene import Scene
from tests.faults.site import Site
from tests.faults.up import Up

_LOCKED = 7


@dataclass
class Interrupted(Fault):
    """An `up` that must change something is ended by a signal after so many seconds."""

    workers: int
    after_seconds: float
    number: int
    from_nothing: bool

    def __str__(self) -> str:
        start = "after a kill of everything, " if self.from_nothing else ""
        what = f"nlctl up --workers {self.workers}"
        return f"{start}{what}, {signal.Signals(self.number).name} after {self.after_seconds:.2f} s"

    async def inject(self, scene: Scene) -> None:
        site = scene.site
        assert isinstance(site, Up)
        if self.from_nothing:
            await Kill([SUPERVISOR, "cas", "scheduler", *site.workers]).inject(scene)
        running = await site.begin(*site.up(self.workers))
        try:
            async with asyncio.timeout(self.after_seconds):
                await running.wait()
        except TimeoutError:
            running.send_signal(self.number)
            async with asyncio.timeout(self.recovery_seconds):
                await running.wait()

    async def heal(self, scene: Scene) -> None:
        await scene.site.mend()


@dataclass
class Together(Fault):
    """Several `up` at once, with different wishes: each does what it was asked for or says who is at it."""

    workers: tuple[int, ...]

    def __str__(self) -> str:
        return "at once: " + ", ".join(f"nlctl up --workers {count}" for count in self.workers)

    async def inject(self, scene: Scene) -> None:
        site = scene.site
        assert isinstance(site, Up)
        ended = await asyncio.gather(*(site.nlctl(*site.up(count)) for count in self.workers))
        wrong = [said for code, said in ended if code not in (0, _LOCKED)]
        assert not wrong, f"one of several `nlctl up` at once ended badly:\n{wrong[0]}"
        assert any(code == 0 for code, _ in ended), "none of several `nlctl up` at once did anything"

    async def heal(self, scene: Scene) -> None:
        await scene.site.mend()


def kinds(site: Site) -> list[Kind]:
    """Rows for a cluster of `nlctl`."""
    if not isinstance(site, Up):
        return []

    def interrupted(rng: random.Random, scene: Scene) -> Fault:
        number = rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM))
        return Interrupted(rng.choice((3, 4, 6, 7)), rng.uniform(0.05, 2.5), number, rng.random() < 0.4)

    return [
        Kind("nlctl up interrupted", interrupted),
        Kind("several nlctl up at once", lambda rng, scene: Together(tuple(rng.sample((3, 4, 5, 6), 2)))),
    ]

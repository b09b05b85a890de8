"""Clients that misbehave by the hundred: readers that stop reading, connections without an end, uploads left alone."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from dataclasses import dataclass, field

from nlserver.errors import Error
from nlserver.reapi.client import Client

from tests.faults.fault import Fault, Kind
from tests.faults.scene import Scene
from tests.faults.site import Site

_BLOB_BYTES = 6 << 20


@dataclass
class Crowd(Fault):
    """So many clients of one process, which is killed in the end: see `rude.py` for what they do."""

    conduct: str
    count: int
    port: str
    hold_seconds: float
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)

    def __str__(self) -> str:
        return f"{self.count} {self.conduct} at {self.port} for {self.hold_seconds:g} s"

    async def inject(self, scene: Scene) -> None:
        endpoint = {"cas": scene.site.cas[0], "scheduler": scene.site.executor, "worker api": scene.site.worker_api}
        words = [self.conduct, endpoint[self.port], str(self.count)]
        if self.conduct == "readers":
            words.append(await _something_to_read(endpoint["cas"]))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.rude", *words, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(self.recovery_seconds):
            assert await self._process.stdout.readline() == b"there\n", "the crowd did not come"

    async def heal(self, scene: Scene) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


async def _something_to_read(endpoint: str) -> str:
    async with Client(cas=endpoint) as client:
        for left in reversed(range(20)):
            try:
                [digest] = await client.upload([bytes(range(256)) * (_BLOB_BYTES // 256)])
                return f"blobs/{digest.hash}/{digest.size_bytes}"
            except Error:
                if not left:
                    raise
                await asyncio.sleep(0.5)
    raise AssertionError("the last round returns or raises")


def kinds(site: Site) -> list[Kind]:
    """One row for each conduct."""

    def at(name: str, conduct: str, ports: tuple[str, ...]) -> Kind:
        def draw(rng: random.Random, scene: Scene) -> Fault:
            count = scene.pace.readers if conduct == "readers" else scene.pace.crowd
            return Crowd(conduct, count, rng.choice(ports), rng.choice(scene.pace.hold_seconds))

        return Kind(name, draw)

    return [
        at("slow readers", "readers", ("cas",)),
        at("half-open connections", "halves", ("cas", "scheduler", "worker api")),
        at("abandoned uploads", "uploads", ("cas",)),
    ]

"""A cluster spread over hosts: two CAS processes on one store, a scheduler, five workers on one fast tier."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.faults.clock import Clock
from tests.faults.network import Host, Network
from tests.faults.site import Disk, Site, StoreFiles, mount_small_disk, unmount

_NLSERVER: Final = str(Path(sys.executable).with_name("nlserver"))
_CONFIGS: Final = Path(__file__).with_name("configs")
_WORKERS: Final = 5
_STOP_SECONDS: Final = 30.0


class Spread(Site):
    """Parts that this run starts itself, each on a host of its own, as a machine's init would."""

    name = "spread"

    def __init__(self, home: Path, clock: Clock) -> None:
        self.home = home
        self.network = Network()
        self.workers = [f"worker-{number + 1}" for number in range(_WORKERS)]
        self.hosts = {name: self.network.host(name) for name in ("cas-1", "cas-2", "scheduler", *self.workers)}
        self.cas = [f"grpc://{self.hosts[name].address}:50051" for name in ("cas-1", "cas-2")]
        self.executor = f"grpc://{self.hosts['scheduler'].address}:50052"
        self.worker_api = f"grpc://{self.hosts['scheduler'].address}:50061"
        data = home / "data"
        self.cas_stores = [StoreFiles(data / "cas/content", data / "cas/tmp", compressed=True)]
        self.ac_stores = [StoreFiles(data / "cas/ac", data / "cas/ac-tmp", named_by_content=False)]
        self.worker_stores = [StoreFiles(data / "workers/content", data / "workers/tmp")]
        self.works = [data / "work" / name for name in self.workers]
        self.disks = [Disk(data, "workers"), Disk(data / "cas", "cas")]
        self._clock = clock
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self) -> None:
        """Start every part, on small disks."""
        for disk, size in zip(self.disks, (128, 96), strict=True):
            mount_small_disk(disk.path, size)
        (self.home / "logs").mkdir()
        await self.mend()

    async def mend(self) -> None:
        """Start what does not run."""
        for name, host in self.hosts.items():
            running = self._running.get(name)
            if running is None or running.poll() is not None:
                self._running[name] = self._start(name, host)

    def _start(self, name: str, host: Host) -> subprocess.Popen[bytes]:
        variables = {
            "DATA": str(self.home / "data"),
            "LISTEN": host.address,
            "NAME": name,
            "CAS_1": self.hosts["cas-1"].address,
            "CAS_2": self.hosts["cas-2"].address,
            "SCHEDULER": self.hosts["scheduler"].address,
        }
        config = _CONFIGS / f"{name.partition('-')[0]}.json5"
        with open(self.home / "logs" / f"{name}.log", "ab") as log:
            return subprocess.Popen(
                host.inside(_NLSERVER, "--name", name, str(config)),
                env={**os.environ, **self._clock.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def parts(self) -> Mapping[str, int]:
        """Those that have not ended."""
        return {name: one.pid for name, one in self._running.items() if one.poll() is None}

    def logs(self) -> Sequence[Path]:
        """One file a part."""
        return sorted((self.home / "logs").glob("*.log"))

    async def close(self) -> None:
        """SIGTERM, workers first."""
        for name in reversed(self._running):
            one = self._running[name]
            if one.poll() is None:
                one.send_signal(signal.SIGTERM)
                code = await asyncio.to_thread(one.wait, _STOP_SECONDS)
                assert code == 143, f"{name} ended with {code} after SIGTERM"
        for disk in reversed(self.disks):
            unmount(disk.path)

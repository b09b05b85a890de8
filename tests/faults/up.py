"""A cluster from `nlctl up`: a supervisor, a CAS, a scheduler and workers that share one fast tier."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from nlctl.launch.backends.processes import Processes
from nlctl.launch.ledger import Ledger
from tests.faults.clock import Clock
from tests.faults.site import Disk, Site, StoreFiles, command, mount_small_disk, unmount

_NLCTL: Final = str(Path(sys.executable).with_name("nlctl"))
_NAME: Final = "soak"
_WORKERS: Final = 5
_CAS_SIZE: Final = "48mb"
# What is waited for by default is too long to be waited for hundreds of times.
_ALIVE: Final = "advanced_http: { http2_keep_alive_interval: 3, experimental_http2_keep_alive_timeout_s: 3 }"
_LISTENS: Final = ("{ http: { ", f"{{ http: {{ {_ALIVE}, ")
_EDITS: Final = {
    "scheduler": (_LISTENS, ("simple: {", "simple: {\n        worker_timeout_s: 3,")),
    "cas": (
        _LISTENS,
        ("bytestream: [{ ", "bytestream: [{ persist_stream_on_disconnect_timeout_s: 2, "),
        ("500mb", "2mb"),
    ),
}


class Up(Site):
    """Runs `nlctl` as a person does, with a state directory of its own."""

    name = "up"

    def __init__(self, home: Path, clock: Clock) -> None:
        self.home = home
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("NLCTL_", "XDG_", "NL_"))},
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
        }
        self._clock = clock
        self.ledger = Ledger(home / "state/nlctl/clusters" / _NAME)
        data = self.ledger.data
        self.cas = ("grpc://127.0.0.1:50051",)
        self.executor = "grpc://127.0.0.1:50052"
        self.worker_api = "grpc://127.0.0.1:50061"
        self.workers = [f"worker-{number + 1}" for number in range(_WORKERS)]
        self.cas_stores = [StoreFiles(data / "cas/content", data / "cas/tmp")]
        self.ac_stores = [StoreFiles(data / "ac/content", data / "ac/tmp", named_by_content=False)]
        self.worker_stores = [StoreFiles(data / "workers/content", data / "workers/tmp")]
        self.works = [data / "work" / name for name in self.workers]
        self.disks = [Disk(data, "workers"), Disk(data / "cas", "cas"), Disk(data / "ac", "ac")]

    async def start(self) -> None:
        """Bring it up with small disks and short patience."""
        for disk, size in zip(self.disks, (160, 96, 24), strict=True):
            mount_small_disk(disk.path, size)
        await self.mend()
        for part, edits in _EDITS.items():
            path = self.ledger.config(part)
            text = path.read_text()
            for old, new in edits:
                assert old in text, f"{old!r} is not in {path}"
                text = text.replace(old, new)
            path.write_text(text)
        await self.mend()

    async def nlctl(self, *words: str, within: float = 120) -> tuple[int, str]:
        """Run a command of `nlctl` on the parts' clock."""
        return await command(
            _NLCTL, *words, environment={**self._environment, **self._clock.environment}, within=within
        )

    async def begin(self, *words: str) -> asyncio.subprocess.Process:
        """Start a command of `nlctl`, and let it run."""
        return await asyncio.create_subprocess_exec(
            _NLCTL,
            *words,
            env={**self._environment, **self._clock.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def mend(self) -> None:
        """`nlctl up`."""
        code, said = await self.nlctl(*self.up())
        if code:
            raise AssertionError(f"`nlctl up` ended with {code}:\n{said}")

    def up(self, workers: int = _WORKERS) -> list[str]:
        """The words of the command that brings up so many workers."""
        return ["up", "--name", _NAME, "--workers", str(workers), "--cas-size", _CAS_SIZE]

    def parts(self) -> Mapping[str, int]:
        """By the supervisor's word."""
        reports = Processes(self.ledger).reports()
        return {one.name: one.pid for one in reports or () if one.pid is not None}

    def supervisor(self) -> int | None:
        """Its process id."""
        return Processes(self.ledger).supervisor()

    async def is_ready(self, within_seconds: float) -> None:
        """Return when the supervisor says that everything serves. Raises AssertionError when it does not in time."""
        await asyncio.to_thread(self._wait, time.monotonic() + within_seconds)

    def _wait(self, deadline: float) -> None:
        states: dict[str, str] = {}
        for report in Processes(self.ledger).watch(deadline):
            states[report.name] = report.state
            if all(states.get(name) == "ready" for name in ("cas", "scheduler", *self.workers)):
                return
        raise AssertionError(f"the supervisor did not bring back everything: {states}")

    def kept(self) -> Mapping[str, int]:
        """The supervisor."""
        supervisor = self.supervisor()
        return {} if supervisor is None else {"supervisor": supervisor}

    def logs(self) -> Sequence[Path]:
        """One file a part."""
        return sorted(self.ledger.logs.glob("*.log*"))

    async def close(self) -> None:
        """`nlctl down`, and then whether it left a trace in its folder."""
        code, said = await self.nlctl("down", "--name", _NAME)
        for disk in reversed(self.disks):
            unmount(disk.path)
        if code:
            raise AssertionError(f"`nlctl down` ended with {code}:\n{said}")

"""What faults and checks know of a cluster: its parts, where they are reached, and where they keep files."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoreFiles:
    """A filesystem store. With `named_by_content` each file's bytes are what its name says, through lz4 if
    `compressed`; otherwise its values are whatever was put there (an action cache).
    """

    content: Path
    temp: Path
    compressed: bool = False
    named_by_content: bool = True


@dataclass(frozen=True)
class Disk:
    """A small file system of this run's own, mounted at `path`."""

    path: Path
    holds: str


class Site(ABC):
    """A running cluster."""

    name: str
    home: Path
    cas: Sequence[str]
    """Endpoints that serve the same CAS and action cache."""
    executor: str
    worker_api: str
    workers: Sequence[str]
    """Names, which are what each worker offers as `nlctl-worker`."""
    cas_stores: Sequence[StoreFiles]
    ac_stores: Sequence[StoreFiles]
    worker_stores: Sequence[StoreFiles]
    works: Sequence[Path]
    """Work directories."""
    disks: Sequence[Disk]

    @property
    def stores(self) -> Sequence[StoreFiles]:
        """All of them."""
        return [*self.cas_stores, *self.ac_stores, *self.worker_stores]

    @abstractmethod
    def parts(self) -> Mapping[str, int]:
        """The process of each part that lives, by name; the supervisor is none."""

    def kept(self) -> Mapping[str, int]:
        """Processes that belong here without being parts."""
        return {}

    @abstractmethod
    async def mend(self) -> None:
        """What an operator does after parts died: bring all of them up, and return when they are."""

    @abstractmethod
    def logs(self) -> Sequence[Path]:
        """The log files."""

    @abstractmethod
    async def close(self) -> None:
        """Stop everything in good order."""


async def command(*words: str, environment: Mapping[str, str] | None = None, within: float = 120) -> tuple[int, str]:
    """Run a program to its end: its exit code and everything that it said. A TimeoutError kills it."""
    running = await asyncio.create_subprocess_exec(
        *words,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(within):
            said, _ = await running.communicate()
    except BaseException:
        running.kill()
        await running.wait()
        raise
    assert running.returncode is not None
    return running.returncode, said.decode(errors="replace")


def mount_small_disk(path: Path, megabytes: int) -> None:
    """Mount a tmpfs of this size, seen by this run alone."""
    import subprocess

    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,nr_inodes=200k,mode=0755", "faults", str(path)], check=True
    )


def unmount(path: Path) -> None:
    """Undo that; what was there is gone."""
    import subprocess

    subprocess.run(["umount", str(path)], check=True)

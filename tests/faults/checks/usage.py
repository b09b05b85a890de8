"""Memory, descriptors and threads of parts that survive are back where they were."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from nlctl.launch.process import proportional_bytes
from tests.faults.check import Check
from tests.faults.scene import Scene

MORE_DESCRIPTORS: Final = 24
"""Connections that clients of this run hold open come and go."""
MORE_BYTES: Final = 40 << 20
"""A part gives back what a crowd left once it is 32 MiB."""
MORE_THREADS: Final = 24
"""Pools grow to their size."""


@dataclass(frozen=True)
class Use:
    """What a process has: descriptors, bytes of its own (PSS), threads."""

    descriptors: int
    memory: int
    threads: int


class Usage(Check):
    """Compares each process with itself at the end of the first fault that it met or was started by."""

    name = "usage"
    # A connection that says nothing is closed after 20 s, one that fell silent after 6 s.
    settling_seconds = 45.0

    def __init__(self) -> None:
        self._first: dict[int, Use] = {}
        self._latest: dict[str, tuple[int, Use, Use]] = {}

    async def findings(self, scene: Scene) -> list[str]:
        found = []
        for name, pid in {**scene.site.parts(), **scene.site.kept()}.items():
            if (now := use(pid)) is None:
                continue
            before = self._first.setdefault(pid, now)
            self._latest[name] = (pid, before, now)
            found += [f"{name} (pid {pid}) has {one}" for one in grown(before, now)]
        return found

    def summary(self) -> list[str]:
        """One line a part: what it had and has."""
        return [
            f"{name:<12} pid {pid:<7} descriptors {before.descriptors:>4} -> {now.descriptors:<4} "
            f"threads {before.threads:>3} -> {now.threads:<3} PSS {before.memory >> 20:>4} -> {now.memory >> 20} MiB"
            for name, (pid, before, now) in sorted(self._latest.items())
        ]


def use(pid: int) -> Use | None:
    """What a process has now; None when it is gone."""
    with suppress(OSError):
        descriptors, threads = len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))
        memory = proportional_bytes(pid)
        return None if memory is None else Use(descriptors, memory, threads)
    return None


def grown(before: Use, now: Use) -> list[str]:
    """By what it grew beyond what is allowed."""
    found = []
    if now.descriptors > before.descriptors + MORE_DESCRIPTORS:
        found.append(f"{now.descriptors} descriptors, it had {before.descriptors}")
    if now.memory > before.memory + MORE_BYTES:
        found.append(f"{now.memory >> 20} MiB of its own, it had {before.memory >> 20}")
    if now.threads > before.threads + MORE_THREADS:
        found.append(f"{now.threads} threads, it had {before.threads}")
    return found

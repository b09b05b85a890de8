"""Facts about processes of this machine, from /proc: who one is, that it lives, what it is called."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

_START_TIME_FIELD: Final = 19
_PSS: Final = b"Pss:"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Identity:
    """A process: its id and when it started, in clock ticks since boot, because ids are used again."""

    pid: int
    start: int


def identity(pid: int) -> Identity | None:
    """Who this process is; None when it is gone or a zombie."""
    fields = _stat(pid)
    if fields is None or fields[0] == "Z":
        return None
    return Identity(pid, int(fields[_START_TIME_FIELD]))


def alive(who: Identity) -> bool:
    """Whether this very process still runs."""
    return identity(who.pid) == who


def stands_still(pid: int) -> bool:
    """Whether a signal, or a debugger, holds this process."""
    fields = _stat(pid)
    return fields is not None and fields[0] in ("T", "t")


def tracer(pid: int) -> int:
    """The process that traces this one, as debuggers do; 0 for none."""
    with suppress(OSError, ValueError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("TracerPid:")), 0)
    return 0


def title(pid: int) -> str:
    """Its command line, or "" when it cannot be read."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def usage(pid: int) -> tuple[float, int] | None:
    """CPU seconds used so far and resident bytes; None when it is gone."""
    fields = _stat(pid)
    if fields is None:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE


@dataclass(frozen=True)
class Usage:
    """What a process and all that descend from it use: CPU seconds, those of ended children included; bytes resident.

    `processes` is how many there are.
    """

    cpu_seconds: float
    resident_bytes: int
    processes: int


def usage_of_trees(roots: Mapping[str, int]) -> dict[str, Usage]:
    """What these processes and their descendants use; those that are gone are left out. One pass over /proc."""
    stats, below = _all_stats()
    found: dict[str, Usage] = {}
    for name, root in roots.items():
        row, tree = [root] if root in stats else [], list[tuple[int, int]]()
        while row:
            pid = row.pop()
            _, ticks, pages = stats[pid]
            tree.append((ticks, pages))
            row += below.get(pid, ())
        if tree:
            ticks, pages = (sum(one) for one in zip(*tree, strict=True))
            found[name] = Usage(ticks / _TICKS, pages * _PAGE, len(tree))
    return found


def _all_stats() -> tuple[dict[int, tuple[int, int, int]], dict[int, list[int]]]:
    """Parent, CPU ticks and resident pages of every process, and the children of each."""
    stats: dict[int, tuple[int, int, int]] = {}
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (fields := _stat(int(name))) is not None:
            parent, pid = int(fields[1]), int(name)
            stats[pid] = (parent, sum(map(int, fields[11:15])), int(fields[21]))
            below.setdefault(parent, []).append(pid)
    return stats, below


def proportional_bytes(pid: int) -> int | None:
    """Its own share of memory (PSS); None when it cannot be read."""
    with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(_PSS):
                return int(line.split()[1]) * 1024
    return None


def children(pid: int) -> list[int]:
    """The processes that this one started and that still run."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def tell(who: Identity, number: signal.Signals) -> None:
    """Send a signal to this very process; nothing happens when it is gone."""
    descriptor = _watch(who)
    if descriptor is not None:
        try:
            _signal(descriptor, number)
        finally:
            os.close(descriptor)


def end(who: Iterable[Identity], grace_seconds: float) -> list[Identity]:
    """Ask these processes to end, kill what is left after the grace; returns those that had to be killed."""
    watched = {descriptor: one for one in who if (descriptor := _watch(one)) is not None}
    poll = select.poll()
    for descriptor in watched:
        poll.register(descriptor, select.POLLIN)
        _signal(descriptor, signal.SIGTERM)
    killed: list[Identity] = []
    limit: float | None = grace_seconds * 1000
    while watched:
        ended = poll.poll(limit)
        if not ended:
            killed, limit = list(watched.values()), None
            for descriptor in watched:
                _signal(descriptor, signal.SIGKILL)
        for descriptor, _ in ended:
            poll.unregister(descriptor)
            watched.pop(descriptor)
            os.close(descriptor)
    return killed


def _watch(who: Identity) -> int | None:
    try:
        descriptor = os.pidfd_open(who.pid)
    except OSError:
        return None
    if alive(who):
        return descriptor
    os.close(descriptor)
    return None


def _signal(descriptor: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, number)


def _stat(pid: int) -> list[str] | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The name in brackets may hold blanks and brackets itself.
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None

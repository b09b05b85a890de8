"""Whether stores have the room that they were promised, and keep blobs long enough."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import LIMITS, Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Folder, Site
from nlctl.faults import fix
from nlctl.layers import FAST, evictions
from nlctl.registry import Level

_LEAST_FREE: Final = 0.02
_HOUR_SECONDS: Final = 3600.0
_OFF: Final = 0.05
_SLACK_BYTES: Final = 64 << 20
_MOST_FILES: Final = 200_000
_GIB: Final = 1 << 30


class Room(NamedTuple):
    """One volume, in bytes and inodes, and what the stores on it, PART:STORE, may still take."""

    path: str
    size: int
    free: int
    free_inodes: float
    promised: int
    stores: Sequence[str] = ()


async def rooms(site: Site) -> Sequence[Room]:
    """Every volume that a store of this cluster is on. Raises NotHere."""
    found = await site.folders()
    measured = await asyncio.to_thread(_measured, found)
    if not measured:
        raise NotHere("no store keeps files where this user can look at them")
    return measured


def _measured(found: Sequence[Folder]) -> list[Room]:
    stores: dict[int, dict[str, Folder]] = {}
    for one in found:
        with suppress(OSError):
            stores.setdefault(os.stat(one.path).st_dev, {})[one.name] = one
    measured = []
    for by_name in stores.values():
        folders = list(by_name.values())
        facts = os.statvfs(folders[0].path)
        layers = [one.layer for one in folders]
        promised = sum(max(0, one.max_bytes - (one.size_bytes or 0)) for one in layers if one.max_bytes)
        inodes = facts.f_favail / facts.f_files if facts.f_files else 1.0
        size, free = facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize
        measured.append(Room(folders[0].name, size, free, inodes, promised, [one.name for one in layers]))
    return measured


def is_full(room: Room) -> bool:
    """Whether next to nothing can be written there."""
    return room.free < _LEAST_FREE * room.size or room.free_inodes < _LEAST_FREE


def judge_rooms(found: Sequence[Room]) -> Iterable[Finding]:
    """Whether each volume holds what its stores may take."""
    for one in found:
        evidence = (
            Evidence("free", f"{one.free / _GIB:.1f} of {one.size / _GIB:.1f} GiB", f"statvfs {one.path}"),
            Evidence("stores may still take", f"{one.promised / _GIB:.1f} GiB", "max_bytes less what they hold"),
            *(Evidence(name, "keeps its blobs there", one.path) for name in one.stores),
        )
        parts = dict.fromkeys(name.partition(":")[0] for name in one.stores)
        remedies = tuple(Remedy("recorded", (part, LIMITS)) for part in parts)
        lower = fix(f"lower max_bytes so that all stores together take {(one.free * 0.9) / _GIB:.1f} GiB more at most")
        if is_full(one):
            kind = "space" if one.free < _LEAST_FREE * one.size else "inodes"
            what = f"the volume of {one.path} has less than {_LEAST_FREE:.0%} of its {kind} left"
            because = "uploads and actions fail with RESOURCE_EXHAUSTED when it is full"
            yield Finding(Verdict.FAILED, what, because, evidence, (fix("make room on it"), lower), remedies=remedies)
        elif one.promised > one.free:
            what = f"the stores on the volume of {one.path} may take more than it has free"
            because = "eviction goes by max_bytes, not by what the volume has: it is full before anything is evicted"
            yield Finding(Verdict.WARNING, what, because, evidence, (lower,), remedies=remedies)
        else:
            yield ok(f"the volume of {one.path} has room for all that its stores may take", *evidence)


class Books(NamedTuple):
    """What a store counts and what its directory holds, in bytes."""

    part: str
    path: str
    counted: int
    held: int
    folder: str = ""


async def _books(site: Site) -> Sequence[Books]:
    found = await site.folders()
    return await asyncio.to_thread(_audited, found)


def _audited(found: Sequence[Folder]) -> list[Books]:
    unique = {one.name: one for one in found if one.layer.size_bytes is not None and os.access(one.path, os.R_OK)}
    return [
        Books(one.layer.part, one.layer.path, one.layer.size_bytes or 0, _held(Path(one.path)), one.path)
        for one in unique.values()
        if (one.layer.values or 0) <= _MOST_FILES
    ]


def _held(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size = os.lstat(os.path.join(parent, name)).st_size
                total += -(-size // 4096) * 4096
    return total


def judge_books(books: Sequence[Books]) -> Iterable[Finding]:
    """Whether stores count what they hold."""
    found = []
    for one in books:
        off = abs(one.counted - one.held)
        if off > _SLACK_BYTES and off > _OFF * max(one.counted, one.held):
            found.append(
                Finding(
                    Verdict.WARNING,
                    f"{one.part}:{one.path} counts {one.counted} bytes and holds {one.held}",
                    "eviction goes by what is counted; something else wrote or removed files there",
                    (Evidence("difference", str(off), "files of its content_path"),),
                    (fix("let it count again", "nlctl", "restart", one.part),),
                    remedies=(Remedy("strangers", (one.folder,)), Remedy("restart_parts", (one.part,))),
                )
            )
    return found or [ok(f"{len(books)} stores count what they hold")]


class Pressure(NamedTuple):
    """What one part evicted within the last hour, and how long the most recently used of it had been unused."""

    part: str
    store: str
    evicted: int
    youngest_seconds: float


async def evictions_since(site: Site) -> Mapping[str, float]:
    """For each part when the hour began in which its evictions count, seconds since 1970.

    Not before the part started: what an earlier config made it evict says nothing of this one.
    """
    reports = await site.reports()
    now = time.time()
    return {one.name: now - min(_HOUR_SECONDS, one.since_ms / 1000) for one in reports}


async def _pressure(site: Site) -> Sequence[Pressure]:
    sockets, since = await site.sockets(), await evictions_since(site)
    found = await asyncio.gather(
        *(asyncio.to_thread(_evicted, part, str(one), since[part]) for part, one in sockets.items())
    )
    return [one for part in found for one in part]


def _evicted(part: str, socket: str, since: float) -> list[Pressure]:
    counts: dict[str, tuple[int, float]] = {}
    for one in evictions(socket, since):
        # What a fast tier gives up is not lost: NLD-STO-07 tells what that costs.
        if not one.store.endswith(FAST):
            count, youngest = counts.get(one.store, (0, float("inf")))
            counts[one.store] = count + 1, min(youngest, one.unused_seconds)
    return [Pressure(part, store, count, youngest) for store, (count, youngest) in counts.items()]


def judge_pressure(pressures: Sequence[Pressure]) -> Iterable[Finding]:
    """Whether blobs stay long enough for a build to use them again."""
    tight: Mapping[str, Pressure] = {one.store: one for one in pressures if one.youngest_seconds < _HOUR_SECONDS}
    if not tight:
        return [ok("nothing was evicted that had been used within an hour")]
    return [
        Finding(
            Verdict.WARNING,
            f"{one.part}:{one.store} evicted {one.evicted} values within an hour, "
            f"one of them {one.youngest_seconds:.0f}s after its last use",
            "a build that runs longer than that loses inputs and outputs which it still needs",
            (Evidence("evictions", str(one.evicted), "eviction journal"),),
            (
                fix("give the CAS more room", "nlctl", "up", "--cas-size", "50gb"),
                fix("let Bazel start again what it lost: --experimental_remote_cache_eviction_retries=5"),
            ),
            remedies=(Remedy("recorded", (one.part, LIMITS)),),
        )
        for one in tight.values()
    ]


CHECKS: Final = (
    Check(
        "NLD-STO-01",
        "storage",
        "volumes have room for what their stores may take",
        Level.LOCAL,
        "free bytes and inodes of each volume beside max_bytes less what is held",
        "failed: less than 2 % left; warning: more promised than free",
        "make room, or lower max_bytes",
        rooms,
        judge_rooms,
        needs=("NLD-PRC-01",),
        repairs=("recorded",),
        by_hand="what to remove from a volume is a choice",
    ),
    Check(
        "NLD-STO-02",
        "storage",
        "stores count what they hold",
        Level.LOCAL,
        "the store's count beside the sizes of its files; stores of more than 200,000 values are left out",
        "warning: off by more than 5 % and 64 MiB",
        "take out what is foreign; restart that part",
        _books,
        judge_books,
        needs=("NLD-PRC-01", "NLD-PRC-06"),
        seconds=10.0,
        repairs=("strangers", "restart_parts"),
    ),
    Check(
        "NLD-STO-05",
        "storage",
        "blobs stay long enough",
        Level.ADMIN,
        "the eviction journals of the last hour, since each part started",
        "warning: something was evicted within an hour of its last use",
        "a larger max_bytes; eviction retries in the client",
        _pressure,
        judge_pressure,
        needs=("NLD-PRC-01",),
        repairs=("recorded",),
        by_hand="how much of a disk blobs may take is a choice",
    ),
)

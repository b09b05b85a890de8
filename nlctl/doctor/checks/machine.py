"""What this machine gives to the cluster: time, processes, memory; and what its log keeps."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import LIMITS, Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.launch import cgroups
from nlctl.registry import Level

_SKEW_SECONDS: Final = 2.0
_WORST_SKEW_SECONDS: Final = 30.0
_USED: Final = 0.8
_MEMORY_SHARE: Final = 0.7
_TIME_ERROR: Final = 5
_UNSYNCHRONISED: Final = 0x0040
_QUIET_LEVELS: Final = ("warn", "warning", "error", "off")


class Clocks(NamedTuple):
    """By how many seconds each server's clock is ahead of ours at least; whether the kernel says ours is kept in step
    with others, None where it does not tell.
    """

    ahead: Mapping[str, float]
    synchronised: bool | None


async def _clocks(site: Site) -> Clocks:
    ahead: dict[str, float] = {}
    if site.target.cluster is not None:
        told = await site.parts()
        ahead = {name: said.ahead_seconds for name, said in told.items() if said.ahead_seconds is not None}
    elif site.target.admin is not None:
        from nlctl.admin import part

        said = (await asyncio.to_thread(part, site.target.admin)).ahead_seconds
        ahead = {"server": said} if said is not None else {}
    if not ahead:
        raise NotHere("no server here tells its time")
    return Clocks(ahead, _synchronised())


def _synchronised() -> bool | None:
    """Whether the kernel's clock is disciplined (adjtimex(2)); reading it needs no right."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        # struct timex is 208 bytes on 64-bit Linux; `modes` 0 only reads, `status` is the int at 40.
        held = ctypes.create_string_buffer(256)
        state = libc.adjtimex(held)
        if state >= 0:
            status = int.from_bytes(held.raw[40:44], "little")
            return state != _TIME_ERROR and not status & _UNSYNCHRONISED
    return None


def judge_clocks(clocks: Clocks) -> Iterable[Finding]:
    """Whether all clocks show one time."""
    off = {name: by for name, by in clocks.ahead.items() if abs(by) > _SKEW_SECONDS}
    step = {True: "in step", False: "not in step with any", None: "unknown"}[clocks.synchronised]
    kernel = Evidence("this machine's clock", step, "adjtimex")
    if not off:
        return [ok(f"the clocks of {len(clocks.ahead)} servers show our time", kernel)]
    worst = max(map(abs, off.values()))
    names = ", ".join(f"{name} {by:+.1f}s" for name, by in off.items())
    evidence = tuple(Evidence(name, f"{by:+.1f}s", "GetPart") for name, by in off.items())
    verdict = Verdict.FAILED if worst > _WORST_SKEW_SECONDS else Verdict.WARNING
    because = "certificates, times of results and ages of blobs are compared across machines"
    remedy = fix("let both machines follow one time server: timedatectl set-ntp true")
    return [Finding(verdict, f"clocks differ from ours: {names}", because, (*evidence, kernel), (remedy,))]


async def _levels(site: Site) -> Mapping[str, str]:
    """What RUST_LOG says to each part that runs, "" for nothing."""
    pids = {one.name: one.pid for one in await site.reports() if one.pid is not None}
    if not pids:
        raise NotHere("no process of this cluster runs")
    return await asyncio.to_thread(lambda: {name: _variable(pid, b"RUST_LOG") for name, pid in pids.items()})


def _variable(pid: int, name: bytes) -> str:
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            key, _, value = entry.partition(b"=")
            if key == name:
                return value.decode(errors="replace")
    return ""


def judge_levels(levels: Mapping[str, str]) -> Iterable[Finding]:
    """Whether the log keeps what one looks for when something is wrong."""
    quiet = [name for name, text in levels.items() if text.split(",")[0].split("=")[-1].lower() in _QUIET_LEVELS]
    if not quiet:
        return [ok("every part logs what happens to workers and actions")]
    evidence = tuple(Evidence(name, levels[name], f"RUST_LOG of {name}") for name in quiet)
    what = f"the log of {', '.join(quiet)} leaves out what happens to workers and actions"
    because = "who registered, what matched and why something waits is logged as info"
    # Parts that are restarted take over the environment of their supervisor.
    remedy = fix("start it with RUST_LOG=info: `nlctl down`, then `nlctl up`")
    return [Finding(Verdict.INFO, what, because, evidence, (remedy,))]


class Limit(NamedTuple):
    """How many processes and threads there are of how many that may be."""

    source: str
    used: int
    most: int


async def _limits(site: Site) -> Sequence[Limit]:
    pids = {one.name: one.pid for one in await site.reports() if one.pid is not None}
    if not pids:
        raise NotHere("no process of this cluster runs")
    return await asyncio.to_thread(_limited, pids)


def _limited(pids: Mapping[str, int]) -> list[Limit]:
    found = []
    count = sum(1 for name in os.listdir("/proc") if name.isdecimal())
    with suppress(OSError, ValueError):
        found.append(Limit("/proc/sys/kernel/pid_max", count, int(Path("/proc/sys/kernel/pid_max").read_text())))
    for pid in pids.values():
        with suppress(OSError, ValueError):
            found += _of_user(pid)
    return [*found, *(Limit(*room) for room in cgroups.limited(pids, cgroups.PIDS))]


def _of_user(pid: int) -> Iterator[Limit]:
    user = os.stat(f"/proc/{pid}").st_uid
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        words = line.split()
        # Root may have more than its limit.
        if line.startswith("Max processes") and words[2] != "unlimited" and user != 0:
            yield Limit(f"/proc/{pid}/limits", _threads_of(user), int(words[2]))


def _threads_of(user: int) -> int:
    count = 0
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdecimal() and os.stat(f"/proc/{name}").st_uid == user:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count


def judge_limits(limits: Sequence[Limit]) -> Iterable[Finding]:
    """Whether workers may start as many processes as actions need."""
    tight = [one for one in limits if one.used > _USED * one.most]
    if not tight:
        seen = (Evidence("used", f"{one.used} of {one.most}", one.source) for one in limits)
        return [ok("processes may be started", *seen)]
    return [
        Finding(
            Verdict.WARNING,
            f"{one.used} of {one.most} processes that may be are there",
            "actions then end with `fork: Resource temporarily unavailable`, as if they were wrong",
            (Evidence("used", f"{one.used} of {one.most}", one.source),),
            (fix("raise the limit: ulimit -u, or TasksMax of the unit, before `nlctl up`"),),
        )
        for one in tight
    ]


class Tiers(NamedTuple):
    """What the stores in memory may take, by layer, and the memory that their parts may have."""

    promised: Mapping[str, int]
    total: int


async def _tiers(site: Site) -> Tiers:
    kept = [one for one in await site.layers() if one.kind == "memory"]
    theirs = {one.part for one in kept}
    pids = {one.name: one.pid for one in await site.reports() if one.pid is not None and one.name in theirs}
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    rooms = await asyncio.to_thread(cgroups.limited, pids, cgroups.MEMORY)
    return Tiers({one.name: one.max_bytes for one in kept}, min([total, *(room.most for room in rooms)]))


def judge_tiers(tiers: Tiers) -> Iterable[Finding]:
    """Whether stores in memory fit into it."""
    promised = sum(tiers.promised.values())
    endless = [name for name, most in tiers.promised.items() if not most]
    evidence = (
        *(Evidence(name, f"{most or 'unlimited'} bytes", "ListStores") for name, most in tiers.promised.items()),
        Evidence("memory", f"{tiers.total >> 20} MiB", "this machine and the control groups of these parts"),
    )
    if endless or promised > _MEMORY_SHARE * tiers.total:
        what = f"{endless[0]} keeps blobs in memory without a limit" if endless else ""
        what = what or f"stores in memory may take {promised >> 20} of {tiers.total >> 20} MiB"
        because = "the kernel ends the part when its memory is gone, and everything in that store with it"
        remedy = fix("set max_bytes so that all of them take half of the memory at most, or use `filesystem`")
        parts = dict.fromkeys(name.partition(":")[0] for name in tiers.promised)
        remedies = tuple(Remedy("recorded", (part, LIMITS)) for part in parts)
        return [Finding(Verdict.WARNING, what, because, evidence, (remedy,), remedies=remedies)]
    said = f"stores in memory take at most {promised >> 20} MiB" if tiers.promised else "no store is in memory"
    return [ok(said, *evidence)]


CHECKS: Final = (
    Check(
        "NLD-ENV-04",
        "host",
        "all clocks show one time",
        Level.ADMIN,
        "the time that each server tells, between the instants of question and answer; adjtimex here",
        "warning: more than 2 s apart; failed: more than 30 s",
        "one time server for all",
        _clocks,
        judge_clocks,
        needs=("NLD-NET-01", "NLD-PRC-01"),
        by_hand="setting a clock is its administrator's right, and moves all that the machine does",
    ),
    Check(
        "NLD-ENV-05",
        "host",
        "the log keeps what is needed",
        Level.LOCAL,
        "RUST_LOG in the environment of each part",
        "info: lines of the level info are left out",
        "RUST_LOG=info",
        _levels,
        judge_levels,
        by_hand="the variable is set in the shell that starts the cluster",
    ),
    Check(
        "NLD-ENV-06",
        "host",
        "processes may be started",
        Level.LOCAL,
        "processes and threads beside pid_max, the limit of the user and that of the cgroup",
        "warning: more than 80 % used",
        "raise the limit",
        _limits,
        judge_limits,
        by_hand="limits of the machine are its administrator's",
    ),
    Check(
        "NLD-ENV-07",
        "host",
        "stores in memory fit into it",
        Level.LOCAL,
        "max_bytes of every memory store beside the memory of this machine and the control groups of its part",
        "warning: more than 70 %, or no limit",
        "a smaller max_bytes, or stores on disk",
        _tiers,
        judge_tiers,
        needs=("NLD-PRC-01",),
        repairs=("recorded",),
        by_hand="how much memory blobs may take is a choice",
    ),
)

"""The processes of a cluster, and what this machine gives them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import Evidence, Finding, Remedy, Verdict, blocked, ok
from nlctl.doctor.site import STOPPED, Site
from nlctl.faults import Fix, fix
from nlctl.launch import cgroups
from nlctl.launch.backend import Report
from nlctl.launch.backends.processes import tail
from nlctl.registry import Level

_STARTING_MS: Final = 10_000
_USED: Final = 0.8
_LEAST_FILES: Final = 1024
_LEAST_MEMORY: Final = 0.05
_KILLS: Final = "the kernel kills the largest process when there is none: a build's, or a worker"
_BAD_CONFIG: Final = "exit 13"
_KILLED: Final = "signal 9"
IN_ORDER: Final = (None, "", "exit 0", "exit 143", "signal 15")
"""How a part ends that was asked to."""


class Parts(NamedTuple):
    """The parts as their supervisor sees them, and the last words of those that are down.

    `mistaken` are those whose config is wrong: they cannot run, and the config's check says why.
    """

    reports: Sequence[Report]
    words: Mapping[str, str] = {}
    mistaken: Collection[str] = ()


def is_down(report: Report) -> bool:
    """Whether a part serves nobody and will not by itself in a moment, as one that ended by itself may not."""
    begins = report.state == "starting" and report.since_ms < _STARTING_MS and report.last_exit in IN_ORDER
    return report.state != "ready" and not begins


async def _parts(site: Site) -> Parts:
    reports = await site.reports()
    down = [one for one in reports if is_down(one)]
    refused = [one.name for one in down if one.last_exit == _BAD_CONFIG]
    mistaken = set(refused) & set(await _mistaken(site)) if refused else ()
    return Parts(reports, {one.name: tail(site.ledger, one.name, 1) for one in down}, mistaken)


async def _mistaken(site: Site) -> Collection[str]:
    from nlctl.lint.finding import Severity

    findings = (await site.configs()).findings
    return {Path(one.place.file).stem for one in findings if one.severity is Severity.ERROR}


def judge_parts(parts: Parts) -> Iterable[Finding]:
    """Whether each part is ready; what a part says of its last end tells why not."""
    found = []
    for one in parts.reports:
        if not is_down(one):
            continue
        if one.name in parts.mistaken:
            found.append(blocked("NLD-CFG-01"))
            continue
        ending = f" after {one.last_exit}" if one.last_exit and one.state != STOPPED else ""
        words = parts.words.get(one.name, "")
        found.append(
            Finding(
                Verdict.FAILED,
                f"{one.name} is {one.state}{ending}",
                _why(one),
                (
                    Evidence("restarts", str(one.restarts), "supervisor"),
                    *([Evidence("last words", words, f"logs/{one.name}.log")] if words else []),
                ),
                tuple(_ways_out(one)),
                remedies=(
                    (Remedy("wake", (one.name,)),)
                    if one.state == STOPPED
                    else (Remedy("folders", (one.name,)), Remedy("start_parts"))
                ),
            )
        )
    return found or [ok(f"{len(parts.reports)} parts are ready")]


def _why(report: Report) -> str:
    if report.state == STOPPED:
        return "its process is there and does nothing: a SIGSTOP, or a debugger, holds it"
    if report.last_exit and _KILLED in report.last_exit:
        return "a kill that nobody here asked for is most often the kernel's: no memory was left"
    return ""


def _ways_out(report: Report) -> Iterable[Fix]:
    if report.state == STOPPED:
        yield fix(f"let it go on: kill -CONT {report.pid}")
    yield fix("see its last words", "nlctl", "logs", report.name, "--tail", "50")
    yield fix("start it anew", "nlctl", "restart", report.name)


class State(NamedTuple):
    """Who ought to run, who is reported, and who runs without a supervisor."""

    expected: Sequence[str]
    reported: Sequence[str]
    leftovers: int


async def _state(site: Site) -> State:
    from nlctl.launch.wish import members

    record = site.record
    expected = [one.name for one in members(record.wish(site.ledger.data))]
    reports = await site.reports()
    loose = [] if reports else site.ledger.leftovers()
    return State(expected, [one.name for one in reports], len(loose))


def judge_state(state: State) -> Iterable[Finding]:
    """Whether the record of the cluster and its processes agree."""
    absent = [name for name in state.expected if name not in state.reported]
    if state.leftovers:
        return [
            Finding(
                Verdict.FAILED,
                f"{state.leftovers} processes of this cluster run without their supervisor",
                "whatever ended the supervisor left them, and nothing starts them again when they end",
                fixes=(fix("take them over", "nlctl", "up"),),
                remedies=(Remedy("start_parts"),),
            )
        ]
    if absent:
        return [
            Finding(
                Verdict.FAILED,
                f"parts are recorded and do not run: {', '.join(absent)}",
                evidence=(Evidence("recorded", str(len(state.expected)), "cluster.json"),),
                fixes=(fix("start them", "nlctl", "up"),),
                remedies=(Remedy("start_parts"),),
            )
        ]
    return [ok("the record and the processes agree")]


@dataclass(frozen=True)
class Use:
    """Open files of one process and how many it may have."""

    part: str
    pid: int
    open_files: int
    limit: int


async def _uses(site: Site) -> Sequence[Use]:
    reports = await site.reports()
    found = [use for one in reports if one.pid is not None for use in [_use(one.name, one.pid)] if use is not None]
    if not found:
        raise NotHere("no process of this cluster runs")
    return found


def _use(part: str, pid: int) -> Use | None:
    with suppress(OSError, ValueError), open(f"/proc/{pid}/limits", encoding="ascii") as limits:
        for line in limits:
            if line.startswith("Max open files"):
                soft = line.split()[3]
                limit = int(soft) if soft != "unlimited" else 1 << 30
                return Use(part, pid, len(os.listdir(f"/proc/{pid}/fd")), limit)
    return None


def judge_files(uses: Sequence[Use]) -> Iterable[Finding]:
    """Whether every process may open what it needs."""
    found = []
    for one in uses:
        evidence = (Evidence("open", f"{one.open_files} of {one.limit}", f"/proc/{one.pid}/limits"),)
        raise_limit = fix("raise it before the start: ulimit -n 65536, then `nlctl down` and `nlctl up`")
        remedies = (Remedy("allow_files", (one.part,)),)
        if one.open_files > _USED * one.limit:
            what = f"{one.part} has {one.open_files} of {one.limit} files open"
            because = "what needs one more waits for it, without an error"
            found.append(Finding(Verdict.FAILED, what, because, evidence, (raise_limit,), remedies=remedies))
        elif one.limit < _LEAST_FILES:
            what = f"{one.part} may open only {one.limit} files"
            because = "each connection and each blob under way is one"
            found.append(Finding(Verdict.WARNING, what, because, evidence, (raise_limit,), remedies=remedies))
    return found or [ok(f"{len(uses)} processes may open what they need")]


class Memory(NamedTuple):
    """Bytes of this machine: all, what is free to take, and how often the kernel killed for want of it.

    `groups` are the control groups that allow parts only so much, with the parts that are in each.
    """

    total: int
    available: int
    kills: int
    groups: Mapping[cgroups.Room, Sequence[str]] = {}


async def _memory(site: Site) -> Memory:
    pids = {one.name: one.pid for one in await site.reports() if one.pid is not None}
    return await asyncio.to_thread(_read_memory, pids)


def _read_memory(pids: Mapping[str, int]) -> Memory:
    sizes = {}
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(":")
            sizes[name] = int(rest.split()[0]) * 1024
    kills = 0
    with suppress(OSError), open("/proc/vmstat", encoding="ascii") as file:
        kills = next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    return Memory(sizes["MemTotal"], sizes["MemAvailable"], kills, cgroups.limited(pids, cgroups.MEMORY))


def judge_memory(memory: Memory) -> Iterable[Finding]:
    """Whether the machine has memory left."""
    found = [finding for room, parts in memory.groups.items() for finding in _of_group(room, parts)]
    share = memory.available / memory.total
    evidence = (
        Evidence("available", f"{memory.available >> 20} of {memory.total >> 20} MiB", "/proc/meminfo"),
        Evidence("kills", str(memory.kills), "/proc/vmstat oom_kill, since boot"),
    )
    if share < _LEAST_MEMORY:
        what = f"{share:.0%} of this machine's memory is left"
        found.append(
            Finding(Verdict.WARNING, what, _KILLS, evidence, (fix("run fewer workers", "nlctl", "scale", "2"),))
        )
    return found or [ok(f"{share:.0%} of this machine's memory is left", *evidence)]


def _of_group(room: cgroups.Room, parts: Sequence[str]) -> Iterable[Finding]:
    if (left := 1 - room.used / room.most) < _LEAST_MEMORY:
        what = f"{left:.0%} is left of the memory that {', '.join(parts)} may take"
        evidence = Evidence("used", f"{room.used >> 20} of {room.most >> 20} MiB", room.folder)
        more = fix("raise its limit, MemoryMax of a unit, or take what else runs in that group out of it")
        yield Finding(Verdict.WARNING, what, _KILLS, (evidence,), (more,))


CHECKS: Final = (
    Check(
        "NLD-PRC-01",
        "host",
        "every part is alive and ready",
        Level.LOCAL,
        "what the supervisor says of each part, how it ended last, and whether its process stands still",
        "failed: a part is down, starts again and again, or was stopped by a signal",
        "read its log; `nlctl up` starts what is missing",
        _parts,
        judge_parts,
        needs=("NLD-PRC-02", "NLD-PORT-01", "NLD-DKR-01", "NLD-DKR-04"),
        repairs=("wake", "folders", "start_parts"),
        by_hand="why a part ends stands in its log",
    ),
    Check(
        "NLD-PRC-02",
        "host",
        "the record of the cluster agrees with its processes",
        Level.LOCAL,
        "cluster.json beside the supervisor's parts and the processes of this machine",
        "failed: parts are missing, or run without a supervisor",
        "`nlctl up`",
        _state,
        judge_state,
        repairs=("start_parts",),
    ),
    Check(
        "NLD-ENV-02",
        "host",
        "every process may open the files it needs",
        Level.LOCAL,
        "the soft limit inside each process and how many it has open",
        "failed: more than 80 % used; warning: fewer than 1024 allowed",
        "raise the limit before the start",
        _uses,
        judge_files,
        repairs=("allow_files",),
        by_hand="a hard limit is raised by root",
    ),
    Check(
        "NLD-ENV-03",
        "host",
        "memory is left",
        Level.LOCAL,
        "/proc/meminfo, the kernel's count of kills, and the control groups of each part",
        "warning: less than 5 % left of the machine, or of what a part may take",
        "fewer workers, a smaller memory store, or a larger MemoryMax",
        _memory,
        judge_memory,
        by_hand="what to end, or to make smaller, is a choice",
    ),
)

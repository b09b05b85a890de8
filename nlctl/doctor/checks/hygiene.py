"""What parts leave behind, how often they came back, and what they say of themselves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from nlctl.admin import PartFacts
from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.checks.parts import IN_ORDER
from nlctl.doctor.finding import Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.launch.backend import Report
from nlctl.launch.process import children, identity, title
from nlctl.registry import Level

_AGAIN_SECONDS: Final = 1.0
_CLEARED_SECONDS: Final = 3.0
OLD_SECONDS: Final = 10.0
"""How long an entry must have been lying there when the doctor came: workers were idle later, so nobody needs it."""
_LATELY_MS: Final = 600_000
_MANY_RESTARTS: Final = 3
_SPARE: Final = ".spare-"
_SHOWN: Final = 5


class Stray(NamedTuple):
    """A process that should not be there: whose it is or was, and what it is called."""

    pid: int
    part: str
    title: str


class Strays(NamedTuple):
    """Dead processes that nobody asks after, and living ones in the data of this cluster that belong to no part."""

    zombies: Sequence[Stray]
    loose: Sequence[Stray]


async def _strays(site: Site) -> Strays:
    pids = {one.name: one.pid for one in await site.reports() if one.pid is not None}
    if not pids:
        raise NotHere("no process of this cluster runs")
    folder = str(site.ledger.data)
    first = await asyncio.to_thread(_found, pids, folder)
    if not first.zombies and not first.loose:
        return first
    # An action that ends just now is dead until its worker looks, and one that begins has no parent to be seen yet.
    await asyncio.sleep(_AGAIN_SECONDS)
    second = await asyncio.to_thread(_found, pids, folder)
    return Strays(
        [one for one in second.zombies if one in first.zombies],
        [one for one in second.loose if one in first.loose],
    )


def _found(pids: Mapping[str, int], folder: str) -> Strays:
    owners: dict[int, str] = {}
    for part, root in pids.items():
        row = [root]
        for pid in row:
            owners[pid] = part
            row += children(pid)
    zombies = [Stray(pid, part, _name(pid)) for pid, part in owners.items() if _is_dead(pid)]
    others = (int(name) for name in os.listdir("/proc") if name.isdecimal())
    loose = [Stray(pid, "", title(pid)) for pid in others if pid not in owners and _is_inside(pid, folder)]
    return Strays(zombies, loose)


def _is_dead(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}") and identity(pid) is None


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _is_inside(pid: int, folder: str) -> bool:
    """Whether it works in a directory of actions. A person who looks around there works in no `work` folder of one."""
    with suppress(OSError):
        there = os.readlink(f"/proc/{pid}/cwd")
        return there.startswith(f"{folder}/work/") and "/work" in there.removeprefix(f"{folder}/work/")
    return False


def judge_strays(strays: Strays) -> Iterable[Finding]:
    """Whether processes of actions end with their actions."""
    found = []
    if strays.loose:
        names = ", ".join(f"{one.pid} ({one.title[:60]})" for one in strays.loose[:_SHOWN])
        what = f"{len(strays.loose)} processes of earlier actions run on without a worker: {names}"
        because = "they take processor, memory and files, and hold their work directory"
        evidence = tuple(Evidence(str(one.pid), one.title, "/proc/PID/cwd") for one in strays.loose[:_SHOWN])
        end = fix(f"end them: kill {' '.join(str(one.pid) for one in strays.loose[:_SHOWN])}")
        remedies = (Remedy("end_strays", tuple(str(one.pid) for one in strays.loose)),)
        found.append(Finding(Verdict.WARNING, what, because, evidence, (end,), remedies=remedies))
    if strays.zombies:
        what = f"{len(strays.zombies)} dead processes below {strays.zombies[0].part} that it does not ask after"
        because = "each takes a place in the table of processes until its part ends"
        evidence = tuple(Evidence(str(one.pid), one.title, f"child of {one.part}") for one in strays.zombies[:_SHOWN])
        again = fix("start that part anew", "nlctl", "restart", strays.zombies[0].part)
        parts = tuple(dict.fromkeys(one.part for one in strays.zombies))
        remedies = (Remedy("restart_parts", parts),)
        found.append(Finding(Verdict.WARNING, what, because, evidence, (again,), remedies=remedies))
    return found or [ok("no process was left behind")]


class Litter(NamedTuple):
    """What has been lying in the work directory of a worker that runs nothing."""

    worker: str
    folder: str
    names: Sequence[str]


async def _litter(site: Site) -> Sequence[Litter]:
    from nlctl.lint.scene import Scene

    seen = {one.name: one for one in (await site.overview()).workers}
    folders = {
        worker.name: worker.work_directory
        for _, worker in Scene((await site.configs()).files).workers()
        if worker.name in seen and not seen[worker.name].operations
    }
    before = site.began - OLD_SECONDS
    first = await asyncio.to_thread(_left, folders, before)
    if not any(one.names for one in first):
        return first
    # What is being cleared away just now is no litter.
    await asyncio.sleep(_CLEARED_SECONDS)
    still = {one.worker: set(one.names) for one in await asyncio.to_thread(_left, folders, before)}
    return [one._replace(names=[name for name in one.names if name in still.get(one.worker, ())]) for one in first]


def _left(folders: Mapping[str, str], before: float) -> list[Litter]:
    found = []
    for worker, folder in folders.items():
        with suppress(OSError):
            names = [
                one.name for one in os.scandir(folder) if not one.name.startswith(_SPARE) and _age_mark(one) < before
            ]
            found.append(Litter(worker, folder, sorted(names)))
    return found


def _age_mark(entry: os.DirEntry[str]) -> float:
    """When it came to stand there: a spare directory that is taken is old, and its name is new."""
    there = entry.stat(follow_symlinks=False)
    return max(there.st_mtime, there.st_ctime)


def judge_litter(found: Sequence[Litter]) -> Iterable[Finding]:
    """Whether workers that run nothing have clean work directories."""
    bad = [
        Finding(
            Verdict.WARNING,
            f"{one.worker} runs nothing, and {len(one.names)} old entries lie in its work_directory",
            "they take the room of the next actions until the worker starts anew",
            tuple(Evidence(name, f"older than {OLD_SECONDS:g}s", one.folder) for name in one.names[:_SHOWN]),
            (fix("let it clean up", "nlctl", "restart", one.worker),),
            remedies=(Remedy("litter", tuple(os.path.join(one.folder, name) for name in one.names)),),
        )
        for one in found
        if one.names
    ]
    return bad or [ok(f"the work directories of {len(found)} idle workers are clean")]


async def _reports(site: Site) -> Sequence[Report]:
    return await site.reports()


def judge_restarts(reports: Sequence[Report]) -> Iterable[Finding]:
    """Whether parts that run now ended by themselves lately."""
    lately = [one for one in reports if one.last_exit not in IN_ORDER and one.since_ms < _LATELY_MS]
    often = [one for one in lately if one.restarts >= _MANY_RESTARTS]
    found = [
        Finding(
            Verdict.WARNING,
            f"{one.name} was started {one.restarts + 1} times; it ended with {one.last_exit}",
            "what it ran is lost each time, and it will most likely end again",
            (Evidence("restarts", f"{one.restarts}, the last {one.since_ms / 1000:.0f}s ago", "supervisor"),),
            (fix("see its last words", "nlctl", "logs", one.name, "--tail", "100"),),
        )
        for one in often
    ]
    if found or not lately:
        return found or [ok("no part ended by itself within ten minutes")]
    names = ", ".join(f"{one.name} ({one.last_exit}, {one.since_ms / 1000:.0f}s ago)" for one in lately)
    see = fix("see its last words", "nlctl", "logs", lately[0].name, "--tail", "100")
    return [Finding(Verdict.INFO, f"ended by itself and runs again: {names}", fixes=(see,))]


async def _parts(site: Site) -> Mapping[str, PartFacts]:
    found = await site.parts()
    if not found:
        raise NotHere("no part answers operators")
    return found


def judge_health(parts: Mapping[str, PartFacts]) -> Iterable[Finding]:
    """Whether parts find their stores, schedulers and processes well."""
    found = []
    for part, said in parts.items():
        for one in said.health:
            if not one.ok:
                evidence = (Evidence(one.name, one.message or "not ok", f"GetPart of {part}"),)
                see = fix("see its log", "nlctl", "logs", part, "--tail", "50")
                what = f"{part} says of {one.name}: {one.message or 'it is not well'}"
                remedies = (Remedy("folders", (part,)),)
                found.append(Finding(Verdict.FAILED, what, "", evidence, (see,), remedies=remedies))
        for process in said.processes:
            if process.stuck:
                evidence = (Evidence(f"pid {process.pid}", "no sign of life", f"GetPart of {part}"),)
                again = fix("start it anew", "nlctl", "restart", part)
                what = f"process {process.pid} of {part} serves, and gives no sign of life"
                because = "calls that it took wait for it"
                remedies = (Remedy("restart_parts", (part,)),)
                found.append(Finding(Verdict.FAILED, what, because, evidence, (again,), remedies=remedies))
    return found or [ok(f"{len(parts)} parts find their stores and processes well")]


CHECKS: Final = (
    Check(
        "NLD-PRC-03",
        "host",
        "no process was left behind",
        Level.LOCAL,
        "children of each part, and processes in the work directories that belong to none, at two looks in turn",
        "warning: dead children, or living processes without a worker",
        "end them, or restart that part",
        _strays,
        judge_strays,
        needs=("NLD-PRC-01",),
        repairs=("end_strays", "restart_parts"),
    ),
    Check(
        "NLD-PRC-04",
        "host",
        "idle workers have clean work directories",
        Level.LOCAL,
        "entries older than ten seconds in the work_directory of each worker that runs nothing, at two looks in turn",
        "warning: something lies there",
        "restart that worker",
        _litter,
        judge_litter,
        needs=("NLD-WRK-01",),
        repairs=("litter",),
    ),
    Check(
        "NLD-PRC-05",
        "host",
        "no part ends by itself",
        Level.LOCAL,
        "how often the supervisor started each part again, and how it ended",
        "warning: three times or more, lately; info: once",
        "its log",
        _reports,
        judge_restarts,
        needs=("NLD-PRC-01",),
        by_hand="it runs again by itself; why it ended stands in its log",
    ),
    Check(
        "NLD-PRC-06",
        "host",
        "parts find themselves well",
        Level.ADMIN,
        "what each part says of its stores, schedulers and processes",
        "failed: one is not well, or a process is stuck",
        "its log",
        _parts,
        judge_health,
        needs=("NLD-PRC-01",),
        repairs=("folders", "restart_parts"),
        by_hand="what else ails a store stands in the log of its part",
    ),
)

"""Who listens on the ports of the cluster: the part that the record says, or somebody else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import Evidence, Finding, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.launch.process import children, title
from nlctl.registry import Level

_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTENS: Final = "0A"


class Holder(NamedTuple):
    """Who listens on a port: a part of ours, "" for somebody else, whose command line may be "" as well."""

    port: int
    expected: str
    part: str
    pid: int
    title: str


async def _holders(site: Site) -> Sequence[Holder]:
    from nlctl.launch.wish import members

    record = site.record
    if record.containers:
        raise NotHere("the Docker Engine opens the ports of containers, and starts none whose port is taken")
    wanted = {port: one.name for one in members(record.wish(site.ledger.data)) for port in one.ports}
    ours = {one.name: one.pid for one in await site.reports() if one.pid is not None}
    ours |= {f"process {one.pid}": one.pid for one in site.ledger.leftovers()} if not ours else {}
    if not ours:
        raise NotHere("no process of this cluster runs")
    return await asyncio.to_thread(_held, wanted, ours)


def _held(wanted: Mapping[int, str], ours: Mapping[str, int]) -> list[Holder]:
    listening = {inode: port for port, inode in _listening() if port in wanted}
    owners = {inode: (name, pid) for name, root in ours.items() for pid in _tree(root) for inode in _sockets(pid)}
    strangers = [inode for inode in listening if inode not in owners]
    # A part may have ended between the two looks, and its socket with it.
    there = {inode for _, inode in _listening()} if strangers else set()
    found = []
    for inode, port in listening.items():
        if inode in owners:
            name, pid = owners[inode]
            found.append(Holder(port, wanted[port], name, pid, title(pid)))
        elif inode in there:
            pid = _owner(inode)
            found.append(Holder(port, wanted[port], "", pid, title(pid) if pid else ""))
    return found


def _listening() -> Iterator[tuple[int, str]]:
    """Port and socket of everything that listens here."""
    for table in _TABLES:
        with suppress(OSError), open(table, encoding="ascii") as file:
            next(file)
            for line in file:
                fields = line.split()
                if fields[3] == _LISTENS:
                    yield int(fields[1].rpartition(":")[2], 16), fields[9]


def _tree(root: int) -> list[int]:
    found = [root]
    for pid in found:
        found += children(pid)
    return found


def _sockets(pid: int) -> set[str]:
    """The sockets that a process has open; none of one that may not be looked at."""
    found = set()
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def _owner(inode: str) -> int:
    """The process that has this socket, 0 when it cannot be told."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())
    return next((pid for pid in pids if inode in _sockets(pid)), 0)


def judge_holders(holders: Sequence[Holder]) -> Iterable[Finding]:
    """Whether each port is held by the part that the record says. One that nobody holds is another check's."""
    found = []
    for one in holders:
        if one.part == one.expected or one.part.startswith("process "):
            continue
        who = one.part or (f"process {one.pid} ({one.title[:100]})" if one.pid else "a process of another user")
        evidence = (Evidence(f"port {one.port}", who, "/proc/net/tcp, /proc/PID/fd"),)
        remedies = (
            fix(f"end that process, if it is yours: kill {one.pid}") if one.pid else fix("see whose it is: ss -tlnp"),
            fix("or let the cluster use other ports", "nlctl", "up", "--base-port", "auto"),
        )
        what = f"port {one.port} of {one.expected} is held by {who}"
        because = "what clients and workers send there does not reach this cluster"
        found.append(Finding(Verdict.FAILED, what, because, evidence, remedies))
    return found or [ok("each port is held by the part that the record says")]


CHECKS: Final = (
    Check(
        "NLD-PORT-01",
        "network",
        "ports are held by the parts that the record says",
        Level.LOCAL,
        "the listening sockets of this machine and the processes that have them",
        "failed: somebody else listens there, with his name",
        "end that process, or use other ports",
        _holders,
        judge_holders,
        by_hand="the process that listens there is somebody else's",
    ),
)

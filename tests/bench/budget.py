"""What one no-op action costs each process of a cluster: processor time, context switches, and bytes to the disk.

    .venv/bin/python tests/bench/budget.py [ACTIONS [AT_A_TIME [WORKERS]]]

Processor time does not depend on what else the machine does, so these figures can be compared between runs where
rates cannot. The cluster is a real one, with its state in a scratch folder and on free ports. Nothing is asserted.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvloop
from finding import memory_mib
from nlserver import grpc_environment
from proof import Cluster

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass
class Used:
    """What a process used up to a moment, itself and its dead children; seconds and counts."""

    own: float = 0.0
    user: float = 0.0
    children: float = 0.0
    waits: int = 0
    preempted: int = 0
    threads: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, other: Used, sign: int = 1) -> Used:
        """Both together; with sign -1 what came since the other."""
        self.own += sign * other.own
        self.user += sign * other.user
        self.children += sign * other.children
        self.waits += sign * other.waits
        self.preempted += sign * other.preempted
        for name, spent in other.threads.items():
            self.threads[name] += sign * spent
        return self


def used(pid: int) -> Used:
    """What this process used so far."""
    found = Used()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, children_user, children_system = (int(value) / _TICKS for value in fields[11:15])
    found.own, found.user, found.children = user + system, user, children_user + children_system
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            spent = int((task / "schedstat").read_text().split()[0]) / 1e9
            status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
        except FileNotFoundError:
            continue
        found.threads["main" if int(task.name) == pid else name] += spent
        found.waits += int(status["voluntary_ctxt_switches"])
        found.preempted += int(status["nonvoluntary_ctxt_switches"])
    return found


def busiest(each: Used) -> list[tuple[str, float]]:
    """The threads that took most of the time."""
    return sorted((item for item in each.threads.items() if item[1] > 0.01), key=lambda item: -item[1])[:6]


def snapshot(parts: Mapping[str, int]) -> dict[str, Used]:
    """What each part used so far; the workers as one."""
    found: dict[str, Used] = {}
    for name, pid in parts.items():
        kind = "workers" if name.startswith("worker") else name
        found.setdefault(kind, Used()).add(used(pid))
    return found


async def run(endpoints: Mapping[str, str], parts: Mapping[str, int], actions: int, at_a_time: int) -> None:
    """Print the table for so many actions."""
    from nlserver.reapi.client import Client

    async with Client(cas=endpoints["cas"], executor=endpoints["scheduler"]) as client:
        gate = asyncio.Semaphore(at_a_time)
        salt = os.urandom(4).hex()

        async def one(number: int) -> float:
            async with gate:
                begun = time.perf_counter()
                outcome = await client.run(["/bin/true"], salt=f"{salt}-{number}".encode())
                assert outcome.exit_code == 0
                assert not outcome.cached
                return time.perf_counter() - begun

        await asyncio.gather(*(one(-1 - number) for number in range(100)))
        before, begun = snapshot(parts), time.perf_counter()
        times = await asyncio.gather(*(one(number) for number in range(actions)))
        took = time.perf_counter() - begun
        after = snapshot(parts)
    spent = {name: after[name].add(before[name], -1) for name in after}
    total = sum(each.own + each.children for each in spent.values())
    print(f"{actions} actions, {at_a_time} at a time, {len(parts) - 3} workers: {actions / took:.0f} a second here and")
    print(f"now, median {statistics.median(times) * 1e3:.1f} ms; processor time, waits and preemptions an action:")
    for name, each in spent.items():
        print(
            f"  {name:<12} {each.own / actions * 1e3:6.2f} ms ({each.user / actions * 1e3:5.2f} user)"
            f"  {each.waits / actions:6.1f} waits {each.preempted / actions:6.1f} preempted  ",
            ", ".join(f"{thread} {s / actions * 1e3:.2f}" for thread, s in busiest(each)),
        )
        if each.children:
            print(f"  {'  actions':<12} {each.children / actions * 1e3:6.2f} ms")
    print(f"  {'together':<12} {total / actions * 1e3:6.2f} ms: {os.cpu_count()} cores could do", end=" ")
    print(f"{(os.cpu_count() or 1) * actions / total:.0f} a second")


def main() -> None:
    """A cluster, the table, and what the processes hold."""
    grpc_environment.prepare(os.environ)
    actions, at_a_time, workers = (*map(int, sys.argv[1:]), *(1000, 32, 4)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as scratch:
        cluster = Cluster(Path(scratch))
        try:
            _, said = cluster.up(workers)
            items = json.loads(cluster.nlctl("ps", "-o", "json"))["items"]
            parts = {"client": os.getpid(), **{part["name"]: part["pid"] for part in items}}
            print("memory (PSS):", ", ".join(f"{name} {memory_mib(pid):.1f}" for name, pid in parts.items()), "MiB")
            uvloop.run(run(said["endpoints"], parts, actions, at_a_time))
            print("memory (PSS):", ", ".join(f"{name} {memory_mib(pid):.1f}" for name, pid in parts.items()), "MiB")
        finally:
            cluster.down("--wipe")


if __name__ == "__main__":
    main()

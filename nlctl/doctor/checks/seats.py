"""What workers offer: room for actions, and properties that the scheduler compares."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from nlctl.admin import WorkerFacts
from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import Evidence, Finding, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level

_MEMORY_A_SLOT: Final = 128 << 20
_CPUS: Final = "cpu_count"


class Slots(NamedTuple):
    """What the workers take at a time, and what this machine has for it. `memory` is 0 where they run elsewhere."""

    workers: Sequence[WorkerFacts]
    cores: int
    memory: int


async def _slots(site: Site) -> Slots:
    workers = (await site.overview()).workers
    if site.target.cluster is None:
        return Slots(workers, 0, 0)
    return Slots(workers, os.cpu_count() or 1, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def judge_slots(slots: Slots) -> Iterable[Finding]:
    """Whether workers have room for an action at all, and what they take goes with the machine."""
    found = []
    for one in slots.workers:
        for name, values in one.properties.items():
            if name == _CPUS and any(_number(value) == 0 for value in values):
                what = f"{one.name} offers {name}={values[0]}: it takes no action that asks for one"
                remedy = fix(f"correct {name} in its platform_properties", "nlctl", "workers", "show", one.name)
                evidence = (Evidence(name, values[0], "ListWorkers"),)
                found.append(Finding(Verdict.WARNING, what, "", evidence, (remedy,)))
    most = sum(one.most_operations for one in slots.workers)
    needed = most * _MEMORY_A_SLOT
    if slots.memory and needed > slots.memory and slots.workers:
        what = f"workers take {most} actions at a time, and this machine has {slots.memory >> 20} MiB"
        because = f"at {_MEMORY_A_SLOT >> 20} MiB an action, which is little for a compiler, memory is gone before that"
        evidence = (Evidence("max_inflight_tasks", str(most), "ListWorkers"),)
        fewer = fix("lower max_inflight_tasks of the workers, or run fewer", "nlctl", "scale", "2")
        found.append(Finding(Verdict.WARNING, what, because, evidence, (fewer,)))
    if found:
        return found
    unlimited = sum(one.most_operations == 0 for one in slots.workers)
    limit = f"{unlimited} of them without a limit but their properties" if unlimited else f"{most} actions at a time"
    taken = sum(len(one.operations) for one in slots.workers)
    cores = f"; {slots.cores} cores here" if slots.cores else ""
    return [ok(f"{len(slots.workers)} workers run {taken} actions, {limit}{cores}")]


def _number(text: str) -> int | None:
    with suppress(ValueError):
        return int(text)
    return None


class Offered(NamedTuple):
    """How the scheduler compares each property that it lists, and what each worker offers."""

    declared: Mapping[str, str]
    workers: Sequence[WorkerFacts]


async def _offered(site: Site) -> Offered:
    declared = await declared_properties(site)
    if not declared:
        raise NotHere("no scheduler here lists properties")
    return Offered(declared, (await site.overview()).workers)


async def declared_properties(site: Site) -> Mapping[str, str]:
    """How the schedulers of the cluster compare properties, by name. Raises NotHere."""
    found: dict[str, str] = {}
    for file in (await site.configs()).files:
        for spec in file.specs():
            if spec.tag == "simple" and hasattr(spec, "supported_platform_properties"):
                found |= {name: str(kind) for name, kind in (spec.supported_platform_properties or {}).items()}
    return found


def judge_offered(offered: Offered) -> Iterable[Finding]:
    """Whether what the scheduler lists and what workers offer go together, name by name."""
    if not offered.workers:
        return [ok("no worker is connected that could offer anything")]
    if found := list(_nobody(offered)):
        return found
    table = {name: values_of(offered.workers, name) for name in offered.declared}
    return [
        ok(
            f"{len(table)} properties that the scheduler lists are offered",
            *(Evidence(f"{name} ({offered.declared[name]})", values, "ListWorkers") for name, values in table.items()),
        )
    ]


def _nobody(offered: Offered) -> Iterator[Finding]:
    """Properties that the scheduler demands and no worker has: whoever asks for one waits for ever."""
    for name, kind in offered.declared.items():
        if kind != "ignore" and not any(name in one.properties for one in offered.workers):
            what = f"the scheduler compares {name} ({kind}), and no worker offers it"
            because = "an action that asks for it matches no worker, whatever the value"
            evidence = (Evidence(name, "offered by none", "ListWorkers"),)
            remedy = fix(f"let workers offer {name}", "nlctl", "workers", "add", "--property", f"{name}=VALUE")
            yield Finding(Verdict.INFO, what, because, evidence, (remedy,))


def values_of(workers: Sequence[WorkerFacts], name: str) -> str:
    """`a (3 workers), b`."""
    counts: dict[str, int] = defaultdict(int)
    for one in workers:
        for value in one.properties.get(name, ()):
            counts[value] += 1
    parts = [f"{value or '(empty)'} ({count} workers)" for value, count in sorted(counts.items())]
    return ", ".join(parts[:5]) + (f" and {len(parts) - 5} more" if len(parts) > 5 else "")


CHECKS: Final = (
    Check(
        "NLD-WRK-04",
        "workers",
        "workers have room for actions",
        Level.ADMIN,
        "max_inflight_tasks and cpu_count of each worker beside the memory of this machine",
        "warning: a worker that takes nothing, or more actions than memory",
        "max_inflight_tasks, or fewer workers",
        _slots,
        judge_slots,
        needs=("NLD-WRK-01",),
        by_hand="how much work fits beside what else runs there is a choice",
    ),
    Check(
        "NLD-WRK-06",
        "workers",
        "workers offer what the scheduler compares",
        Level.ADMIN,
        "supported_platform_properties of the scheduler beside what each worker offers, name by name",
        "info: nobody offers it",
        "platform_properties of the workers",
        _offered,
        judge_offered,
        needs=("NLD-WRK-01",),
        by_hand="whether the worker or the client is wrong is known to who wrote it",
    ),
)

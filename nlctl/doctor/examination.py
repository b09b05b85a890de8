"""Running checks: all at once, each after what it builds on, so that one cause gives one failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

from nlserver.errors import Error

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import Finding, Verdict, blocked, skipped, unknown
from nlctl.doctor.merging import merged
from nlctl.doctor.patience import within
from nlctl.doctor.site import Site
from nlctl.faults import Fault

_AT_ONCE: Final = 8
_THREADS: Final = 32
_BLOCKING: Final = (Verdict.FAILED, Verdict.UNKNOWN)


@dataclass(frozen=True)
class Outcome:
    """What one check found, and how long it took; there is at least one finding."""

    check: Check
    findings: tuple[Finding, ...]
    milliseconds: float

    @property
    def blocked_by(self) -> str:
        """The check that failed and made this one say nothing new; one that does not apply blocks nothing."""
        return next((one.blocked_by for one in self.findings if one.blocked_by), "")

    @property
    def verdict(self) -> Verdict:
        """The worst of its findings."""
        return max((one.verdict for one in self.findings), key=lambda one: one.rank)

    def documents(self) -> list[dict[str, Any]]:
        """Its findings as JSON shows them."""
        head = {"id": self.check.id, "area": self.check.area, "title": self.check.title, "level": self.check.level}
        tail = {"duration_ms": round(self.milliseconds, 1)}
        return [{**head, **one.document(), **tail} for one in self.findings]


def closure(wanted: Sequence[Check], every: Mapping[str, Check]) -> list[Check]:
    """These checks and what they build on, in the order of `every`."""
    names: set[str] = set()
    rest = [one.id for one in wanted]
    while rest:
        name = rest.pop()
        if name not in names:
            names.add(name)
            rest += every[name].needs
    return [one for name, one in every.items() if name in names]


async def examine(site: Site, checks: Sequence[Check], told: Callable[[Outcome], None]) -> list[Outcome]:
    """Run these checks, which include what they build on; the outcomes in their order, and each when it is there.

    What is proved by looking and concluded from a config as well is told once.
    """
    gate = asyncio.Semaphore(_AT_ONCE)
    # Looks ask many parts at a time, each from a thread of its own.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=_THREADS))
    under_way: dict[str, asyncio.Task[Outcome]] = {}

    async def one(check: Check) -> Outcome:
        for need in check.needs:
            before = await under_way[need]
            if before.blocked_by or before.verdict in _BLOCKING:
                return _blocked(check, before)
        async with gate:
            found = await _run(site, check)
        told(found)
        return found

    async with asyncio.TaskGroup() as group:
        for check in checks:
            under_way[check.id] = group.create_task(one(check))
    return _rooted(merged([task.result() for task in under_way.values()]))


def _rooted(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The same, where what is blocked names the check at the root of it."""
    by_id = {one.check.id: one for one in outcomes}

    def root(finding: Finding) -> Finding:
        while (by := finding.blocked_by) in by_id and (further := by_id[by].blocked_by):
            finding = blocked(further)
        return finding

    return [replace(one, findings=tuple(map(root, one.findings))) for one in outcomes]


async def _run(site: Site, check: Check) -> Outcome:
    begin = time.monotonic()
    try:
        async with within(check.seconds):
            facts = await check.look(site)
        findings = tuple(check.judge(facts))
        assert findings, check.id
    except NotHere as why:
        findings = (skipped(str(why)),)
    except TimeoutError:
        findings = (unknown(f"no answer within {time.monotonic() - begin:.0f}s"),)
    except Fault as fault:
        findings = (unknown(fault.message, fault.why),)
    except Error as error:
        findings = (unknown(error.message or error.code.name, f"at {error.where}" if error.where else ""),)
    return Outcome(check, findings, (time.monotonic() - begin) * 1000)


def _blocked(check: Check, before: Outcome) -> Outcome:
    return Outcome(check, (blocked(before.blocked_by or before.check.id),), 0.0)

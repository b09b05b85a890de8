"""Actions run: one on every worker, its output read back, its result found again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import Evidence, Finding, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level

_ANYWHERE: Final = ""


async def _canaries(site: Site) -> Mapping[str, str]:
    """What is wrong with each worker, "" for nothing; `""` stands for whichever worker takes it."""
    from nlctl.launch import canary
    from nlctl.launch.wish import AIM

    offered = await site.capabilities()
    if site.target.cas == site.target.executor and not offered.execution_capabilities.exec_enabled:
        raise NotHere("this server executes nothing")
    names = [_ANYWHERE]
    if site.target.admin is not None:
        ready = [one for one in (await site.overview()).workers if one.state not in ("draining", "paused")]
        names = [one.name for one in ready if AIM in one.properties]
        if not names:
            raise NotHere("no worker takes work")
    said = await asyncio.gather(*(canary.tried(site.client, name) for name in names))
    return {name: words or "" for name, words in zip(names, said, strict=True)}


def judge_canaries(found: Mapping[str, str]) -> Iterable[Finding]:
    """One finding for each worker that does not bring an action to its end."""
    bad = {name: said for name, said in found.items() if said}
    if not bad:
        where = f"on {len(found)} workers" if _ANYWHERE not in found else "on a worker"
        return [ok(f"an action ran {where}, its output came back, and its result was found again")]
    return [
        Finding(
            Verdict.FAILED,
            f"{name or 'the server'} does not run actions: {said}",
            evidence=(Evidence("canary", said, "Execute"),),
            fixes=(
                fix("see what it says", "nlctl", "logs", *([name] if name else [])),
                *([fix("give its work to others meanwhile", "nlctl", "workers", "cordon", name)] if name else []),
            ),
        )
        for name, said in bad.items()
    ]


CHECKS: Final = (
    Check(
        "NLD-EXE-01",
        "execution",
        "an action runs on every worker",
        Level.STANDARD,
        "an action aimed at each worker; its output is read back; a second run finds the result",
        "failed, by worker",
        "the log of that worker",
        _canaries,
        judge_canaries,
        needs=("NLD-CAS-01", "NLD-AC-01", "NLD-SHR-01", "NLD-QUE-01"),
    ),
)

"""Actions run: one on every worker, its output read back, its result found again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.patience import within
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level

if TYPE_CHECKING:
    from nlserver.reapi.client import Client

_ANYWHERE: Final = ""
WAITS: Final = "QUEUED"
"""Said of an action that no worker has taken."""
_WAITING_SECONDS: Final = 10.0
_NOT_FOUND: Final = re.compile(r"[0-9a-f]{64}-\d+ not found")
_OTHER_CAS: Final = (
    "what the client uploads and what the worker makes is not found by the other: its slow tier leads to another CAS. "
    "Workers need not share a directory, whatever the server's message says: they must reach the CAS of the clients"
)
_ONE_CAS: Final = "let the slow tier of every worker be a grpc store that leads to the CAS of the clients"


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
    async with site.speaker() as client:
        if names == [_ANYWHERE]:
            return {_ANYWHERE: await _anywhere(client)}
        said = await asyncio.gather(*(canary.tried(client, name) for name in names))
    return {name: words or "" for name, words in zip(names, said, strict=True)}


async def _anywhere(client: Client) -> str:
    """The same of a server that does not tell of its workers: that it waits is all that can be seen from outside."""
    from nlctl.launch import canary

    stages: list[str] = []
    try:
        async with within(_WAITING_SECONDS):
            return await canary.tried(client, _ANYWHERE, lambda state: stages.append(state.stage.name)) or ""
    except TimeoutError:
        return WAITS if stages[-1:] != ["EXECUTING"] else f"it did not end within {_WAITING_SECONDS:g}s"


def judge_canaries(found: Mapping[str, str]) -> Iterable[Finding]:
    """One finding for each worker that does not bring an action to its end."""
    bad = {name: said for name, said in found.items() if said}
    if not bad:
        where = f"on {len(found)} workers" if _ANYWHERE not in found else "on a worker"
        return [ok(f"an action ran {where}, its output came back, and its result was found again")]
    if bad.get(_ANYWHERE) == WAITS:
        return [_waits()]
    return [
        Finding(
            Verdict.FAILED,
            f"{name or 'the server'} does not run actions: {said}",
            _OTHER_CAS if _NOT_FOUND.search(said) else "",
            evidence=(Evidence("canary", said, "Execute"),),
            fixes=(
                *([fix(_ONE_CAS)] if _NOT_FOUND.search(said) else []),
                fix("see what it says", "nlctl", "logs", *([name] if name else [])),
                *([fix("give its work to others meanwhile", "nlctl", "workers", "cordon", name)] if name else []),
            ),
            remedies=(Remedy("folders", (name,)),) if name else (),
        )
        for name, said in bad.items()
    ]


def _waits() -> Finding:
    return Finding(
        Verdict.WARNING,
        f"an action that asks for nothing still waits after {_WAITING_SECONDS:g}s",
        "no worker is connected, or all are busy; this server does not tell which",
        (Evidence("canary", "QUEUED", "Execute"),),
        (
            fix("see that workers reach the worker API of the scheduler: their logs say `Connected to scheduler`"),
            fix("see that what clients ask for is what workers offer: platform_properties in their configs"),
        ),
    )


CHECKS: Final = (
    Check(
        "NLD-EXE-01",
        "execution",
        "an action runs on every worker",
        Level.STANDARD,
        "an action aimed at each worker; its output is read back; a second run finds the result",
        "failed, by worker; warning: it waits, where the server does not tell of its workers",
        "the log of that worker",
        _canaries,
        judge_canaries,
        needs=("NLD-CAS-01", "NLD-AC-01", "NLD-SHR-01", "NLD-QUE-01"),
        repairs=("folders",),
        by_hand="why a worker fails stands in its log",
    ),
)

"""The configs that the parts run, judged like `nlctl config validate --deep` does."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, NamedTuple

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import ADDRESSES, PROPERTIES, WHOLE, Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level

if TYPE_CHECKING:
    from nlctl.lint import finding as lint
    from nlctl.lint import judging

_OF_ADDRESSES: Final = ("NL-CFG-120", "NL-CFG-122", "NL-CFG-144")
_OF_PROPERTIES: Final = ("NL-CFG-121", "NL-CFG-123")


def judge_configs(verdict: judging.Verdict) -> Iterable[Finding]:
    """One finding for each that the rules have; what is right here and wrong elsewhere is left out."""
    from nlctl.lint.finding import Severity

    verdicts = {Severity.ERROR: Verdict.FAILED, Severity.WARNING: Verdict.WARNING}
    found = [
        Finding(
            verdicts[one.severity],
            one.what,
            one.why,
            (Evidence(one.id, one.excerpt.strip(), f"{one.place.file}:{one.place.line}"),),
            (fix(one.fix), fix("see all of them", "nlctl", "config", "validate", "--deep")),
            remedies=tuple(_remedies(one, verdict.unread)),
        )
        for one in verdict.findings
        if one.severity in verdicts
    ]
    return found or [ok(f"nothing is wrong with {len(verdict.files)} configs")]


def _remedies(one: lint.Finding, unread: Collection[str]) -> Iterable[Remedy]:
    """What the rule itself writes, or else what nlctl wrote there before somebody edited it."""
    from nlctl.lint.finding import Severity

    part = PurePath(one.place.file).stem
    if one.edits:
        yield Remedy("lint_edits", (one.id,))
    elif one.id in _OF_ADDRESSES:
        yield Remedy("recorded", (part, ADDRESSES))
    elif one.id in _OF_PROPERTIES:
        yield Remedy("recorded", (part, PROPERTIES))
        yield Remedy("recorded", ("scheduler", PROPERTIES))
    elif one.place.file in unread:
        yield Remedy("recorded", (part, *filter(None, [one.place.path]), WHOLE))
    elif one.severity is Severity.ERROR:
        yield Remedy("recorded", (part, one.place.path))


class Prints(NamedTuple):
    """Fingerprints of the configs of members: what runs, and what the file says."""

    running: Mapping[str, str]
    files: Mapping[str, str]


async def _prints(site: Site) -> Prints:
    from nlctl.launch.reconcile import Asked, plan

    if site.record.project:
        raise NotHere("Compose gives these containers their configs")
    reports = await site.reports()
    planned = await asyncio.to_thread(plan, site.ledger, Asked(), reports)
    return Prints(
        {one.name: one.fingerprint for one in reports},
        {one.member.name: one.fingerprint for one in planned.configs},
    )


def judge_running(prints: Prints) -> Iterable[Finding]:
    """Whether each part runs what its file says."""
    other = [name for name, running in prints.running.items() if prints.files.get(name, running) != running]
    if not other:
        return [ok("every part runs what its file says")]
    return [
        Finding(
            Verdict.WARNING,
            f"the config of {', '.join(other)} was changed after the start",
            "a part reads its config once, when it starts",
            tuple(Evidence(name, prints.files[name][:12], f"config/{name}.json5") for name in other),
            (fix("use it", "nlctl", "restart", *other),),
            remedies=(Remedy("restart_parts", tuple(other)),),
        )
    ]


async def _judged(site: Site) -> judging.Verdict:
    return await site.configs()


CHECKS: Final = (
    Check(
        "NLD-CFG-01",
        "config",
        "the configs are free of mistakes",
        Level.LOCAL,
        "every rule of `nlctl config validate --deep`, on the files that the parts run",
        "failed: a part does not start or fails when used; warning: it will surprise somebody",
        "what the rule says; many are written by `nlctl config validate --fix`",
        _judged,
        judge_configs,
        seconds=20.0,
        repairs=("lint_edits", "recorded"),
        by_hand="what was meant is known to who wrote it",
    ),
    Check(
        "NLD-CFG-02",
        "config",
        "each part runs what its file says",
        Level.LOCAL,
        "the fingerprint of each file beside that of what was started",
        "warning: changed after the start",
        "restart the part",
        _prints,
        judge_running,
        needs=("NLD-CFG-01",),
        repairs=("restart_parts",),
    ),
)

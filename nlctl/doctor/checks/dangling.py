"""Results whose outputs are gone: a sample of those that the action cache gives to clients."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from nlctl import layers
from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level

if TYPE_CHECKING:
    from nlserver.reapi.digest import Digest

_LISTED: Final = 2000
_SAMPLE: Final = 16
_AT_ONCE: Final = 8


class Sampled(NamedTuple):
    """How many results were looked at, and those that clients are given although something they name is gone.

    `hidden` is how many of them the action cache did not give.
    """

    looked_at: int
    dangling: dict[str, str]
    """What is missing, by the action's digest."""
    hidden: int = 0


async def _sampled(site: Site) -> Sampled:
    from nlserver.reapi.digest import Function

    sockets = await site.sockets()
    known = await site.layers()
    layer = next((one for one in known if one.part == "cas" and "ac" in one.roles and one.can_list), None)
    if layer is None:
        raise NotHere("no part here keeps results that can be listed")
    # A prefix by chance stands for a sample of all; a small cache is seen whole.
    prefix = "" if (layer.values or 0) <= _LISTED else f"{random.randrange(256):02x}"  # noqa: S311 - a sample
    listed = await asyncio.to_thread(layers.entries, sockets[layer.part], layer.path, prefix, _LISTED)
    keys = [digest for one in listed if (digest := one.digest(Function.SHA256)) is not None]
    chosen = random.sample(keys, min(_SAMPLE, len(keys)))
    gate = asyncio.Semaphore(_AT_ONCE)

    async def look(action: Digest) -> str | None:
        async with gate:
            return await _missing(site, action)

    said = await asyncio.gather(*map(look, chosen))
    dangling = {action.written: words for action, words in zip(chosen, said, strict=True) if words}
    return Sampled(len(chosen), dangling, sum(words is None for words in said))


async def _missing(site: Site, action: Digest) -> str | None:
    """What a result that clients are given names in vain, "" for nothing; None when they are not given it."""
    from nlctl import objects

    result = await site.client.action_result(action)
    if result is None:
        return None
    found = await objects.parts(site.client, result, action.function)
    gone = await objects.absent(site.client, found)
    if not gone or await site.client.action_result(action) is None:
        # What was evicted between the two questions took the result along.
        return ""
    first = gone[0]
    return f"{first.path or first.role} {first.digest.written}" + (f" and {len(gone) - 1} more" if gone[1:] else "")


def judge_sampled(sampled: Sampled) -> Iterable[Finding]:
    """Whether results that clients are given lead to their outputs."""
    if not sampled.dangling:
        hidden = f"; {sampled.hidden} more are hidden from clients" if sampled.hidden else ""
        shown = sampled.looked_at - sampled.hidden
        return [ok(f"{shown} sampled results lead to all their outputs{hidden}" if shown else "no results to look at")]
    first = next(iter(sampled.dangling))
    return [
        Finding(
            Verdict.FAILED,
            f"{len(sampled.dangling)} of {sampled.looked_at} sampled results name outputs that are gone",
            "a build that is given such a result fails when it needs the output: `Lost inputs no longer available`",
            tuple(
                Evidence(action, words, "GetActionResult, FindMissingBlobs")
                for action, words in sampled.dangling.items()
            )[:5],
            (
                fix("see what of it is gone", "nlctl", "ac", "check", first),
                fix("forget the result: the next build runs it again", "nlctl", "ac", "rm", first),
                fix("put a completeness_checking store above the action cache, which hides such results"),
            ),
            remedies=(Remedy("dangling", ("SHA256",)),),
        )
    ]


CHECKS: Final = (
    Check(
        "NLD-AC-02",
        "ac",
        "results lead to their outputs",
        Level.ADMIN,
        "up to 16 results by chance: GetActionResult, then FindMissingBlobs of all that each names, trees included",
        "failed: one leads nowhere",
        "`ac rm`; completeness_checking above the action cache",
        _sampled,
        judge_sampled,
        needs=("NLD-AC-01", "NLD-CAS-01", "NLD-PRC-01"),
        repairs=("dangling",),
    ),
)

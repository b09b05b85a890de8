"""Whether the fast tiers of workers hold what their actions use, or the CAS has to send it again and again."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from nlctl import layers
from nlctl.admin import part
from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.checks.storage import evictions_since
from nlctl.doctor.finding import LIMITS, Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.layers import FAST
from nlctl.registry import Level

if TYPE_CHECKING:
    from nlctl.layers import Layer

_HOUR_SECONDS: Final = 3600.0
_MUCH: Final = 0.5
"""Of what a tier may hold."""
_GUIDE_BYTES: Final = 50_000_000_000
"""What NativeLink's multi-worker guide gives a fast tier when the CAS has too much to do."""

_Address = tuple[str, int]


class Tier(NamedTuple):
    """A fast tier in front of the CAS, who uses it, and what it gave up within the last hour.

    `again` counts values that it gave up after it had done so before: each came from the CAS in between.
    """

    users: Sequence[str]
    path: str
    max_bytes: int
    evicted: int
    again: int
    again_bytes: int


class Tiers(NamedTuple):
    """Fast tiers, and the bytes that the CAS sent to anybody since it started; None where it is out of reach."""

    tiers: Sequence[Tier]
    cas_sent: int | None


async def _tiers(site: Site) -> Tiers:
    sockets = await site.nearby()
    found = await asyncio.to_thread(layers.layers, sockets)
    cas = await asyncio.to_thread(_addresses, str(site.target.cas))
    # The parts of a cluster that runs here belong together, whatever they call each other.
    groups = await asyncio.to_thread(_groups, found, cas if site.target.cluster is None else None)
    if not groups:
        raise NotHere("no worker of this machine has a fast tier in front of this CAS")
    since = await evictions_since(site) if site.target.cluster else {}

    def tier(users: Sequence[Layer]) -> Tier:
        part = users[0].part
        return _tier(sockets[part], users, since.get(part, time.time() - _HOUR_SECONDS))

    tiers = await asyncio.gather(*(asyncio.to_thread(tier, users) for users in groups))
    return Tiers(tiers, await asyncio.to_thread(_sent, sockets, {port for _, port in cas}))


def _groups(found: Sequence[Layer], cas: Set[_Address] | None) -> Sequence[Sequence[Layer]]:
    """The fast tiers, of servers that we did not start those in front of this CAS; those of one directory together."""
    groups: dict[str, list[Layer]] = {}
    for one in found:
        folder = one.facts.get("content_path")
        if folder and one.path.endswith(FAST) and (cas is None or _leads_to(cas, one, found)):
            groups.setdefault(folder, []).append(one)
    return list(groups.values())


def _leads_to(cas: Set[_Address], fast: Layer, found: Sequence[Layer]) -> bool:
    """Whether the slow tier beside this fast one is, or is made of, that CAS."""
    slow = f"{fast.path.removesuffix(FAST)}/slow"
    below = [one for one in found if one.part == fast.part and f"{one.path}/".startswith(f"{slow}/")]
    return any(_addresses(url) & cas for one in below for url in one.facts.get("endpoints", "").split(", "))


def _addresses(url: str) -> Set[_Address]:
    """Those of its host; none where the host has none."""
    with suppress(OSError, ValueError):
        way = urlsplit(url)
        return {(str(one[4][0]), int(one[4][1])) for one in socket.getaddrinfo(way.hostname, way.port)}
    return set()


def _tier(asked: str, users: Sequence[Layer], since: float) -> Tier:
    first = users[0]
    times: Counter[str] = Counter()
    again = again_bytes = 0
    for one in layers.evictions(asked, since, first.path):
        if times[one.key]:
            again, again_bytes = again + 1, again_bytes + one.size_bytes
        times[one.key] += 1
    return Tier(
        [one.name for one in users], first.facts["content_path"], first.max_bytes, times.total(), again, again_bytes
    )


def _sent(sockets: Mapping[str, str], ports: Set[int]) -> int | None:
    """By the server that listens at these ports."""
    from nlserver.errors import Error

    for path in sockets.values():
        with suppress(Error):
            said = part(path)
            if any(one.rpartition(":")[2] in map(str, ports) for one in said.listeners):
                return said.sent_bytes
    return None


def judge_tiers(found: Tiers) -> Iterable[Finding]:
    """Whether what workers use again is still in their fast tiers."""
    small = [one for one in found.tiers if one.max_bytes and one.again_bytes > _MUCH * one.max_bytes]
    sent = [] if found.cas_sent is None else [Evidence("sent by the CAS", f"{found.cas_sent} bytes", "GetPart")]
    if not small:
        return [ok(f"{len(found.tiers)} fast tiers hold what their workers use", *sent)]
    return [
        Finding(
            Verdict.WARNING,
            f"the CAS sends the same blobs again and again to {', '.join(one.users)}: "
            f"a fast tier of {one.max_bytes} bytes is too small",
            "what a fast tier gave up comes from the CAS anew for the next action that uses it: the CAS becomes the "
            "bottleneck",
            (
                Evidence("evicted", f"{one.evicted} values in an hour", f"eviction journal of {one.path}"),
                Evidence("of them again", f"{one.again} values, {one.again_bytes} bytes", "the same"),
                Evidence("max_bytes", str(one.max_bytes), "ListStores"),
                *sent,
            ),
            (
                fix(
                    "give the fast tier more room: in the config of these workers fast_slow, fast, filesystem, "
                    f"eviction_policy, max_bytes: {_GUIDE_BYTES} (50 GB)"
                ),
            ),
            remedies=tuple(Remedy("recorded", (name.partition(":")[0], LIMITS)) for name in one.users),
        )
        for one in small
    ]


CHECKS: Final = (
    Check(
        "NLD-STO-07",
        "storage",
        "fast tiers hold what workers use",
        Level.LOCAL,
        "the eviction journal of the fast tier of every worker on this machine: values that it gave up more often than "
        "once within an hour, beside its max_bytes and what the CAS sent",
        "warning: the CAS sent more than half of a tier's max_bytes again",
        "a larger max_bytes of the fast tier",
        _tiers,
        judge_tiers,
        needs=("NLD-PRC-01",),
        repairs=("recorded",),
        by_hand="how much a fast tier may take is a choice",
    ),
)

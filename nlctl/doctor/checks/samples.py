"""Whether the CAS holds what it lists, and for how long blobs stay."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from nlctl import layers
from nlctl.admin import Admin
from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.checks.storage import evictions_since
from nlctl.doctor.finding import LIMITS, Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.layers import FAST
from nlctl.registry import Level

if TYPE_CHECKING:
    from nlserver.reapi.digest import Digest

    from nlctl.layers import Layer

_LISTED: Final = 2000
_SAMPLE: Final = 16
_TIERS: Final = 4
_LARGEST: Final = 1 << 20
_MOST_BYTES: Final = 64 << 20
_HOUR_SECONDS: Final = 3600.0
_LEAST_HOURS: Final = 2.0
_NEARLY_FULL: Final = 0.98
_PLAIN: Final = frozenset(
    ("filesystem", "memory", "fast_slow", "verify", "existence_cache", "cache_metrics", "ref_store")
)
"""The kinds of stores that keep blobs as they are."""
_FUNCTIONS: Final = (1, 9)
"""SHA256 and BLAKE3: digests of 64 digits, of which a key does not tell the function."""


class Sample(NamedTuple):
    """What became of blobs that a store holds: how many were read, and those of other bytes."""

    layer: str
    read: int
    corrupt: Sequence[str] = ()


async def _sample(site: Site) -> Sample:
    sockets = await site.sockets()
    layer = _home(await site.layers())
    if layer is None:
        raise NotHere("no part here keeps blobs that can be listed")
    return await asyncio.to_thread(_read, sockets[layer.part], layer)


def _home(known: Sequence[Layer]) -> Layer | None:
    """A layer of the CAS that lists blobs, below none that gives them other bytes."""
    theirs = [one for one in known if one.part == "cas" and "cas" in one.roles]
    changed = tuple(f"{one.path}/" for one in theirs if one.kind not in _PLAIN)
    fit = [one for one in theirs if one.can_list and one.kind in _PLAIN and not one.path.startswith(changed)]
    return fit[0] if fit else None


def _read(socket: str, layer: Layer) -> Sample:
    from nlserver.errors import Code, Error
    from nlserver.reapi.digest import Function, of

    corrupt: list[str] = []
    read = room = 0
    with Admin(str(socket)) as admin:
        for digest in _shuffled(socket, layer):
            # Where one is wrong others are: then all count that a moment is enough for.
            if read >= _SAMPLE and (not corrupt or room > _MOST_BYTES):
                break
            read, room = read + 1, room + digest.size_bytes
            try:
                data = b"".join(layers.read_of(admin, layer.path, digest))
            except Error as error:
                if error.code is Code.DATA_LOSS:
                    corrupt.append(digest.written)
                continue
            if not any(of(data, Function(one)).hash == digest.hash for one in _FUNCTIONS):
                corrupt.append(digest.written)
    return Sample(layer.name, read, corrupt)


def _shuffled(socket: str, layer: Layer) -> Sequence[Digest]:
    """Blobs that a layer lists, by chance, none of them large."""
    from nlserver.reapi.digest import Function

    prefix = "" if (layer.values or 0) <= _LISTED else f"{random.randrange(256):02x}"  # noqa: S311 - a sample
    entries = layers.entries(socket, layer.path, prefix, _LISTED)
    digests = [one for entry in entries if (one := entry.digest(Function.SHA256)) and one.size_bytes <= _LARGEST]
    return random.sample(digests, len(digests))


def judge_bytes(sample: Sample) -> Iterable[Finding]:
    """Whether the bytes are those that the digests say."""
    if not sample.corrupt:
        return [ok(f"{sample.read} sampled blobs have the right bytes")]
    first = sample.corrupt[0]
    return [
        Finding(
            Verdict.FAILED,
            f"{len(sample.corrupt)} of {sample.read} sampled blobs of {sample.layer} have other bytes than they should",
            "a disk, or somebody who wrote into the store's directory, changed them; readers refuse them",
            tuple(Evidence(one, "hashes to something else", "ReadBlob") for one in sample.corrupt[:5]),
            (
                fix("put it back from the tier that has it", "nlctl", "cas", "heal", first),
                fix("look at all of them", "nlctl", "cas", "verify", "--all"),
            ),
            remedies=tuple(Remedy("blob", (*one.split("/"), "SHA256")) for one in sample.corrupt),
        )
    ]


class Promise(NamedTuple):
    """What became of blobs of which the CAS says that it has them: how many it was asked for, and those it lacks."""

    asked: int
    absent: Sequence[str] = ()


async def _promise(site: Site) -> Promise:
    """Blobs that workers used are those that a CAS may have lost; what it lost is not in its own list."""
    from nlserver.errors import Code, Error

    sockets = await site.sockets()
    tiers = {one.facts["content_path"]: one for one in await site.layers() if _is_fast(one)}
    if not tiers:
        raise NotHere("no worker here has a fast tier that can be listed")
    chosen = await asyncio.gather(
        *(asyncio.to_thread(_shuffled, sockets[one.part], one) for one in list(tiers.values())[:_TIERS])
    )
    digests = {one for some in chosen for one in some[:_SAMPLE]}
    missing = await site.client.missing(digests)
    absent = []
    for digest in digests - missing:
        try:
            await site.client.read(digest)
        except Error as error:
            if error.code is Code.NOT_FOUND:
                absent.append(digest.written)
    return Promise(len(digests), absent)


def _is_fast(layer: Layer) -> bool:
    return layer.can_list and layer.path.endswith(FAST) and "cas" in layer.roles and "content_path" in layer.facts


def judge_promise(promise: Promise) -> Iterable[Finding]:
    """Whether what the CAS says that it has can be read."""
    if not promise.absent:
        return [ok(f"{promise.asked} blobs that workers used: the CAS can read those that it says it has")]
    return [
        Finding(
            Verdict.FAILED,
            f"the CAS says that it has {len(promise.absent)} of {promise.asked} sampled blobs and cannot read them",
            "their files went away behind the store's back: clients do not upload what they are told is there",
            tuple(Evidence(one, "not missing, and not found", "FindMissingBlobs, Read") for one in promise.absent[:5]),
            (
                fix("put it back from the tier that has it", "nlctl", "cas", "heal", promise.absent[0]),
                fix("let the store count again", "nlctl", "restart", "cas"),
            ),
            remedies=(
                *(Remedy("blob", (*one.split("/"), "SHA256")) for one in promise.absent),
                Remedy("restart_parts", ("cas",)),
            ),
        )
    ]


class Turnover(NamedTuple):
    """One store: what it holds of what it may, and the bytes that it evicted within the last hour.

    What had been used within an hour before is left out: it is told by NLD-STO-05.
    """

    name: str
    size_bytes: int
    max_bytes: int
    evicted_bytes: int


async def _turnovers(site: Site) -> Sequence[Turnover]:
    sockets = await site.sockets()
    counted = [one for one in await site.layers() if one.max_bytes and one.size_bytes is not None]
    # What a fast tier gives up is not lost: NLD-STO-07 tells what that costs.
    known = [one for one in counted if not one.path.endswith(FAST)]
    parts, since = {one.part for one in known}, await evictions_since(site)
    evicted = await asyncio.gather(*(asyncio.to_thread(_evicted, str(sockets[part]), since[part]) for part in parts))
    by_part = dict(zip(parts, evicted, strict=True))
    # A store has several names where others refer to it, and its evictions are told under one of them.
    stores: dict[str, list[Layer]] = {}
    for one in known:
        stores.setdefault(one.facts.get("content_path", one.name), []).append(one)
    return [
        Turnover(
            names[0].name,
            names[0].size_bytes or 0,
            names[0].max_bytes,
            max(by_part[one.part].get(one.path, 0) for one in names),
        )
        for names in stores.values()
    ]


def _evicted(socket: str, since: float) -> dict[str, int]:
    """Bytes by the path of the layer that gave them up."""
    found: dict[str, int] = {}
    for one in layers.evictions(socket, since):
        if one.unused_seconds >= _HOUR_SECONDS:
            found[one.store] = found.get(one.store, 0) + one.size_bytes
    return found


def judge_turnover(found: Sequence[Turnover]) -> Iterable[Finding]:
    """Whether stores hold what an hour brings several times over."""
    short = [one for one in found if one.evicted_bytes * _LEAST_HOURS > one.max_bytes]
    if short:
        return [
            Finding(
                Verdict.WARNING,
                f"{one.name} replaces all that it holds every {60 * one.max_bytes / one.evicted_bytes:.0f} minutes",
                "a build that runs longer than that, or comes back later, finds nothing of what it uploaded",
                (
                    Evidence("evicted", f"{one.evicted_bytes} bytes in an hour", "eviction journal"),
                    Evidence("max_bytes", str(one.max_bytes), "ListStores"),
                ),
                (fix("give it more room", "nlctl", "up", "--cas-size", "50gb"),),
                remedies=(Remedy("recorded", (one.name.partition(":")[0], LIMITS)),),
            )
            for one in short
        ]
    full = [one for one in found if one.size_bytes > _NEARLY_FULL * one.max_bytes]
    if full:
        names = ", ".join(one.name for one in full)
        because = "a full store is a cache at work; it matters when what it evicts is still needed"
        shares = tuple(Evidence(one.name, f"{one.size_bytes / one.max_bytes:.0%}", "ListStores") for one in full)
        return [Finding(Verdict.INFO, f"full, and evicting as blobs come: {names}", because, shares)]
    return [
        ok(
            f"{len(found)} stores have room",
            *(Evidence(one.name, f"{one.size_bytes / one.max_bytes:.0%}", "ListStores") for one in found),
        )
    ]


CHECKS: Final = (
    Check(
        "NLD-STO-03",
        "storage",
        "blobs have the bytes that their digests say",
        Level.ADMIN,
        "16 blobs of the CAS by chance, of at most 1 MiB, read from its own layer and hashed; more where one is wrong",
        "failed: other bytes",
        "`cas heal`; `cas verify --all`",
        _sample,
        judge_bytes,
        needs=("NLD-CAS-01", "NLD-PRC-01"),
        repairs=("blob",),
    ),
    Check(
        "NLD-STO-04",
        "storage",
        "blobs that the CAS says it has can be read",
        Level.ADMIN,
        "up to 16 blobs by chance of the fast tiers of workers: FindMissingBlobs, then a read of what is not missing",
        "failed: the index is stale",
        "`cas heal`, then restart that part",
        _promise,
        judge_promise,
        needs=("NLD-CAS-01", "NLD-PRC-01"),
        repairs=("blob", "restart_parts"),
    ),
    Check(
        "NLD-STO-06",
        "storage",
        "stores hold more than an hour brings",
        Level.ADMIN,
        "max_bytes and fill of each store beside the bytes that it evicted within the last hour, since it started",
        "warning: all is replaced within two hours; info: full",
        "a larger max_bytes",
        _turnovers,
        judge_turnover,
        needs=("NLD-PRC-01",),
        repairs=("recorded",),
        by_hand="how much of a disk blobs may take is a choice",
    ),
)

"""Whether all parts speak of the same blobs: proved by a fresh probe, never guessed from paths."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from nlctl import layers
from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.checks.blobs import PROBE_BYTES
from nlctl.doctor.finding import ADDRESSES, Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.patience import crowding
from nlctl.doctor.site import Folder, Site
from nlctl.faults import fix
from nlctl.registry import Level

if TYPE_CHECKING:
    from nlctl.layers import Layer, Sighting

_PATIENT_SECONDS: Final = 6.0


class Grid(NamedTuple):
    """Where a probe that was written through the client's endpoint is seen: each part's way to the shared CAS."""

    digest: str
    endpoint: str
    sightings: Sequence[Sighting]
    leads: Mapping[tuple[str, str], str]
    """Where each of these layers leads, by part and path."""


async def grid(site: Site) -> Grid:
    """Write a fresh probe as a client does, and look for it from every part. Raises NotHere, Error."""
    sockets = await site.sockets()
    found = await site.layers()
    leads = {(one.part, one.path): one.facts.get("endpoints", one.kind) for one in found if _is_shared(one)}
    if not leads:
        raise NotHere("no part has a way to a shared CAS")
    [digest] = await site.client.upload([secrets.token_bytes(PROBE_BYTES)])
    seen = await asyncio.to_thread(layers.trace, sockets, digest)
    if any(one.state == "unreachable" for one in seen):
        # A server that had much to do just then answers the second time.
        seen = await asyncio.to_thread(layers.trace, sockets, digest, _PATIENT_SECONDS * crowding())
    leads |= _apart(found, seen, {part for part, _ in leads})
    ways = [one for one in seen if (one.part, one.path) in leads or not one.path]
    return Grid(digest.written, str(site.target.cas), ways, leads)


def _apart(found: Sequence[Layer], seen: Sequence[Sighting], led: Collection[str]) -> dict[tuple[str, str], str]:
    """The stores of blobs whose part has no way to a shared CAS and does not see the probe in what it has instead."""
    sighted = {one.part for one in seen if one.state != "absent"}
    roots = [one for one in found if "cas" in one.roles and "/" not in one.path]
    return {(one.part, one.path): f"{one.kind} of its own" for one in roots if one.part not in {*led, *sighted}}


def _is_shared(layer: Layer) -> bool:
    return layer.kind == "grpc" and layer.facts.get("store_type") == "cas"


def judge_grid(grid: Grid) -> Iterable[Finding]:
    """One finding for each part that looks for blobs elsewhere than clients put them."""
    bad = False
    for one in grid.sightings:
        leads = grid.leads.get((one.part, one.path), "")
        evidence = (
            Evidence("probe", grid.digest, f"written through {grid.endpoint}"),
            Evidence(f"{one.part}:{one.path}", one.state, leads or "TraceBlob"),
        )
        see = fix("see the line", "nlctl", "config", "validate", "--deep")
        if one.state == "absent":
            bad = True
            yield Finding(
                Verdict.FAILED,
                f"{one.part} reads from another CAS than clients write to: {leads}",
                "what clients upload is not found there: builds fail with `not found in either fast or slow store`. "
                "Parts need not share a directory; they must reach one CAS server",
                evidence,
                (fix(f"set the endpoint of {one.path} in {one.part}.json5 to {grid.endpoint}"), see),
                remedies=(Remedy("recorded", (one.part, ADDRESSES)),),
            )
        elif one.state == "unreachable":
            bad = True
            yield Finding(
                Verdict.FAILED,
                f"{one.part} cannot reach its CAS{f' at {leads}' if leads else ''}: {one.message}",
                "",
                evidence,
                (fix("see what it says", "nlctl", "logs", one.part), see),
                remedies=(Remedy("recorded", (one.part, ADDRESSES)),),
            )
    if not bad:
        yield ok(f"a blob that a client wrote is seen from all {len(grid.sightings)} places that look for it")


class Folders(NamedTuple):
    """The parts that use each directory of blobs, by device and inode."""

    users: Mapping[tuple[int, int], Sequence[str]]
    paths: Mapping[tuple[int, int], str]


async def _folders(site: Site) -> Folders:
    found = await site.folders()
    return await asyncio.to_thread(_identified, found)


def _identified(found: Sequence[Folder]) -> Folders:
    users: dict[tuple[int, int], list[str]] = defaultdict(list)
    paths: dict[tuple[int, int], str] = {}
    for one in found:
        with suppress(OSError):
            there = os.stat(one.path)
            key = there.st_dev, there.st_ino
            paths[key] = one.name
            if one.layer.part not in users[key]:
                users[key].append(one.layer.part)
    return Folders(users, paths)


def judge_folders(folders: Folders) -> Iterable[Finding]:
    """Which parts share a directory: safe here, where the processes of a directory keep one account of it."""
    shared = {key: parts for key, parts in folders.users.items() if len(parts) > 1}
    if not shared:
        return [ok("no two parts use one directory")]
    return [
        Finding(
            Verdict.INFO,
            f"{', '.join(parts)} share {folders.paths[key]}",
            "safe with nlserver, which keeps one account for all processes of a directory; real NativeLink processes "
            "would evict each other's blobs",
            (Evidence("device and inode", f"{key[0]}, {key[1]}", "stat"),),
        )
        for key, parts in shared.items()
    ]


CHECKS: Final = (
    Check(
        "NLD-SHR-01",
        "sharing",
        "all parts reach the CAS that clients write to",
        Level.ADMIN,
        "64 fresh random bytes written through the client's endpoint, looked for through every part's way to a CAS",
        "failed: another CAS, or no way to it",
        "the endpoint in that part's config",
        grid,
        judge_grid,
        needs=("NLD-CAS-01", "NLD-PRC-01", "NLD-NET-02", "NLD-DKR-03"),
        seconds=15.0,
        repairs=("recorded",),
        by_hand="an address that nlctl did not write is known to who wrote it",
    ),
    Check(
        "NLD-SHR-02",
        "sharing",
        "who shares a directory is known",
        Level.LOCAL,
        "device and inode of every content_path",
        "info: shared, which is safe with nlserver",
        "on real NativeLink: a directory for each process",
        _folders,
        judge_folders,
        needs=("NLD-PRC-01",),
        by_hand="moving blobs into directories of their own is a choice",
    ),
)

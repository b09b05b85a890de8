"""Blobs and results go in and come out again: every probe is fresh random bytes, so nothing can know them already."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.checks.storage import is_full, rooms
from nlctl.doctor.finding import Evidence, Finding, Remedy, Verdict, blocked, ok
from nlctl.doctor.site import Site
from nlctl.faults import Fix, fix
from nlctl.registry import Level

PROBE_BYTES: Final = 64
_STREAMED_BYTES: Final = 5 << 20
_LISTING: Final = "FindMissingBlobs"
_LOGS: Final = fix("see what the CAS says", "nlctl", "logs", "cas", "--tail", "50")


class RoundTrip(NamedTuple):
    """What became of a probe: where it failed ("" when it did not) and the server's words.

    `told_by` is the check that speaks of the cause: a volume is full, or a store lost its directory.
    """

    digest: str
    size_bytes: int
    failed_at: str = ""
    said: str = ""
    told_by: str = ""


async def _round_trip(site: Site, size_bytes: int) -> RoundTrip:
    from nlserver.errors import Error
    from nlserver.reapi.digest import of
    from nlserver.reapi.uploads import upload

    data = secrets.token_bytes(size_bytes)
    digest = of(data, await site.function())
    name = digest.written
    step = "upload"
    try:
        await upload(site.client.blobs, {digest: data})
        step = _LISTING
        if await site.client.missing([digest]):
            return RoundTrip(name, size_bytes, step, "it is listed as missing right after its upload")
        step = "read"
        if await site.client.read(digest) != data:
            return RoundTrip(name, size_bytes, step, "other bytes came back")
    except Error as error:
        return RoundTrip(name, size_bytes, step, f"{error.code.name}: {error.message}", await _told_by(site))
    return RoundTrip(name, size_bytes)


async def _told_by(site: Site) -> str:
    """The check of this cluster's disks or stores that fails as well, "" for none."""
    try:
        if any(map(is_full, await rooms(site))):
            return "NLD-STO-01"
        unwell = any(not one.ok for said in (await site.parts()).values() for one in said.health)
        return "NLD-PRC-06" if unwell else ""
    except NotHere:
        return ""


async def _small(site: Site) -> RoundTrip:
    return await _round_trip(site, PROBE_BYTES)


async def _streamed(site: Site) -> RoundTrip:
    return await _round_trip(site, _STREAMED_BYTES)


def judge_round_trip(trip: RoundTrip) -> Iterable[Finding]:
    """Whether a blob goes in and comes back as it was."""
    way = "ByteStream" if trip.size_bytes > PROBE_BYTES else "batches"
    evidence = (Evidence("probe", trip.digest, f"random bytes by {way}"),)
    if not trip.failed_at:
        return [ok(f"{trip.size_bytes} bytes went in and came back by {way}", *evidence)]
    if trip.told_by:
        return [blocked(trip.told_by)]
    return [
        Finding(
            Verdict.FAILED,
            f"a blob of {trip.size_bytes} bytes fails at {trip.failed_at}: {trip.said}",
            "every action needs its inputs there",
            evidence,
            tuple(_fixes(trip)),
        )
    ]


def _fixes(trip: RoundTrip) -> Iterable[Fix]:
    if "UNIMPLEMENTED" in trip.said and trip.size_bytes > PROBE_BYTES:
        yield fix("a listener that has the service `cas` needs `bytestream` beside it")
    elif trip.failed_at == _LISTING:
        yield fix("let the store of `cas` keep what it is given: no `noop`, and a max_bytes above the largest blob")
    elif "RESOURCE_EXHAUSTED" in trip.said:
        yield fix("make room on the disk of the CAS, or lower its max_bytes")
    elif "PERMISSION_DENIED" in trip.said or "UNAUTHENTICATED" in trip.said:
        yield fix("use a context whose token or certificate may write")
    yield _LOGS


class Empty(NamedTuple):
    """What the server says of the blob of no bytes."""

    is_missing: bool
    reads: bool
    said: str = ""


async def _empty(site: Site) -> Empty:
    from nlserver.errors import Code, Error
    from nlserver.proto import remote_execution_pb2 as re_pb
    from nlserver.reapi import methods
    from nlserver.reapi.digest import EMPTY
    from nlserver.reapi.tree import message_of

    from nlctl.remote import channel

    nothing = EMPTY[await site.function()]
    about: dict[str, Any] = {"instance_name": site.target.instance, "digest_function": nothing.function.value}
    # A client knows that this blob is there, and asks no server.
    async with channel(site.target) as cas:
        asked = re_pb.FindMissingBlobsRequest(blob_digests=[message_of(nothing)], **about)
        absent = bool((await cas.unary(methods.FIND_MISSING, asked)).missing_blob_digests)
        try:
            wanted = re_pb.BatchReadBlobsRequest(digests=[message_of(nothing)], **about)
            back = await cas.unary(methods.BATCH_READ, wanted)
        except Error as error:
            # Batches are no duty.
            return Empty(absent, error.code is Code.UNIMPLEMENTED, error.message)
    said = next((one.status.message or f"code {one.status.code}" for one in back.responses if one.status.code), "")
    return Empty(absent, not said, said)


def judge_empty(empty: Empty) -> Iterable[Finding]:
    """Whether the empty blob is always there (REAPI v2, FindMissingBlobs)."""
    if empty.is_missing or not empty.reads:
        what = f"the empty blob {'is listed as missing' if empty.is_missing else f'cannot be read: {empty.said}'}"
        because = "clients count on it without an upload: an empty stdout, an empty directory"
        upload = fix("upload it", "nlctl", "doctor", "--check", "NLD-CAS-03", "--fix")
        return [Finding(Verdict.WARNING, what, because, fixes=(upload,), remedies=(Remedy("empty_blob"),))]
    return [ok("the empty blob is there")]


class Written(NamedTuple):
    """Whether a result may be written, and whether it came back."""

    allowed: bool
    came_back: bool
    said: str = ""
    is_here: bool = False


async def _result(site: Site) -> Written:
    from nlserver.errors import Error
    from nlserver.proto import remote_execution_pb2 as re_pb
    from nlserver.reapi.digest import of

    offered = await site.capabilities()
    if not offered.cache_capabilities.action_cache_update_capabilities.update_enabled:
        raise NotHere("clients may not write results here")
    key = of(secrets.token_bytes(PROBE_BYTES), await site.function())
    wrote = re_pb.ActionResult(exit_code=0, stdout_raw=b"probe of nlctl doctor")
    try:
        await site.client.update_action_result(key, wrote)
        back = await site.client.action_result(key)
    except Error as error:
        return Written(True, False, f"{error.code.name}: {error.message}", site.target.cluster is not None)
    return Written(True, back is not None and back.stdout_raw == wrote.stdout_raw)


def judge_result(written: Written) -> Iterable[Finding]:
    """Whether a result that was written is found again."""
    if written.came_back:
        return [ok("a result that was written is found")]
    said = f": {written.said}" if written.said else ", and is not found right after"
    because = "without it every build runs everything again"
    remedies = (Remedy("folders", ("cas",)),) if written.is_here else ()
    return [Finding(Verdict.FAILED, f"a result was written{said}", because, fixes=(_LOGS,), remedies=remedies)]


CHECKS: Final = (
    Check(
        "NLD-CAS-01",
        "cas",
        "a small blob goes in and comes back",
        Level.STANDARD,
        "64 random bytes: BatchUpdateBlobs, FindMissingBlobs, BatchReadBlobs",
        "failed, with the call that failed",
        "by the answer: room, rights, or the log of the CAS",
        _small,
        judge_round_trip,
        needs=("NLD-API-01",),
        by_hand="what refuses says why, in the answer or in the log of the CAS",
    ),
    Check(
        "NLD-CAS-02",
        "cas",
        "a large blob goes in and comes back",
        Level.STANDARD,
        "5 MiB of random bytes: ByteStream.Write, FindMissingBlobs, ByteStream.Read",
        "failed, with the call that failed",
        "add the service `bytestream`, or as above",
        _streamed,
        judge_round_trip,
        needs=("NLD-CAS-01",),
        by_hand="what refuses says why, in the answer or in the log of the CAS",
    ),
    Check(
        "NLD-CAS-03",
        "cas",
        "the empty blob is there",
        Level.STANDARD,
        "FindMissingBlobs and a read of the digest of no bytes",
        "warning: missing",
        "upload it",
        _empty,
        judge_empty,
        needs=("NLD-CAS-01",),
        repairs=("empty_blob",),
    ),
    Check(
        "NLD-AC-01",
        "ac",
        "a result that is written is found",
        Level.STANDARD,
        "UpdateActionResult and GetActionResult of a random key; skipped where results may not be written",
        "failed",
        "the log of the action cache",
        _result,
        judge_result,
        needs=("NLD-API-01",),
        repairs=("folders",),
        by_hand="what refuses says why, in the answer or in the log of the CAS",
    ),
)

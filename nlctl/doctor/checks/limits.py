"""Whether what servers announce agrees among them, and holds."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import Evidence, Finding, Verdict, blocked, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level

if TYPE_CHECKING:
    from nlserver.proto import remote_execution_pb2 as re_pb

_SOURCE: Final = "GetCapabilities"
_PIECE: Final = 512 << 10
_MOST_PROBED: Final = 4 << 20
_HEAD: Final = 64 << 10
"""What servers keep of a message for digests and names (casd: measured)."""


class Offers(NamedTuple):
    """What the CAS endpoint and the execution endpoint announce, each for itself."""

    cas: re_pb.ServerCapabilities
    executor: re_pb.ServerCapabilities


async def _offers(site: Site) -> Offers:
    from nlctl.remote import client

    target = site.target
    if target.cas == target.executor:
        offered = await site.capabilities()
        return Offers(offered, offered)

    async def ask(url: str) -> re_pb.ServerCapabilities:
        async with client(replace(target, cas=url, executor=url)) as remote:
            return await remote.capabilities()

    return Offers(*await asyncio.gather(ask(target.cas), ask(target.executor)))


def judge_offers(offers: Offers) -> Iterable[Finding]:
    """Whether what one endpoint announces is true at the other."""
    from nlserver.reapi.digest import Function

    known = {int(one): one.name for one in Function}
    execution = offers.executor.execution_capabilities
    functions = set(offers.cas.cache_capabilities.digest_functions)
    runs = set(execution.digest_functions) or {execution.digest_function} - {0}
    evidence = (
        Evidence("CAS", _names(known, functions), _SOURCE),
        Evidence("execution", _names(known, runs) if execution.exec_enabled else "off", _SOURCE),
    )
    if offers.cas is not offers.executor and not execution.exec_enabled:
        what = "the execution endpoint says that it executes nothing"
        because = "clients ask for the capabilities first, and then refuse to build remotely"
        remedy = fix("add remote_execution with the scheduler to `capabilities` of that listener, or give its address")
        return [Finding(Verdict.FAILED, what, because, evidence, (remedy,))]
    if execution.exec_enabled and runs and not runs & functions:
        what = f"actions are named by {_names(known, runs)}, blobs by {_names(known, functions)}"
        because = "a client speaks of one function with both"
        return [Finding(Verdict.FAILED, what, because, evidence, (fix("let both have one digest function"),))]
    if execution.exec_enabled and runs and runs != functions:
        what = f"the CAS takes {_names(known, functions)}, execution {_names(known, runs)}"
        return [Finding(Verdict.INFO, what, "a client that uses the other one can cache, and not execute", evidence)]
    return [ok(f"endpoints agree: {_names(known, functions)}", *evidence)]


def _names(known: Mapping[int, str], numbers: Iterable[int]) -> str:
    return ", ".join(known.get(one, str(one)) for one in sorted(numbers)) or "nothing"


class Batch(NamedTuple):
    """The largest batch that is announced, the bytes that were tried, and where that failed.

    `told_by` is the check that speaks of the cause: more is announced than clients take anyway, or the listener of the
    CAS is told to take smaller messages.
    """

    announced: int
    tried: int
    failed_at: str = ""
    said: str = ""
    told_by: str = ""


async def _batch(site: Site) -> Batch:
    from nlserver.errors import Error
    from nlserver.reapi.digest import of

    announced = (await site.capabilities()).cache_capabilities.max_batch_total_size_bytes
    tried = min(announced or _MOST_PROBED, _MOST_PROBED) - _HEAD
    if tried <= 0:
        raise NotHere(f"batches of {announced} bytes are too small to be tried")
    sizes = [_PIECE] * (tried // _PIECE) + ([tried % _PIECE] if tried % _PIECE else [])
    function = await site.function()
    blobs = [(of(data, function), data) for data in map(secrets.token_bytes, sizes)]
    step = "BatchUpdateBlobs"
    try:
        for failed in await site.client.blobs.write_batch(blobs):
            if failed is not None:
                raise failed
        step = "BatchReadBlobs"
        for answer in await site.client.blobs.read_batch([digest for digest, _ in blobs]):
            if isinstance(answer, Error):
                raise answer
    except Error as error:
        told_by = "NLD-API-02" if announced > _MOST_PROBED else await _told_by(site)
        return Batch(announced, tried, step, f"{error.code.name}: {error.message}", told_by)
    return Batch(announced, tried)


async def _told_by(site: Site) -> str:
    try:
        address = urlsplit(str(site.target.cas)).netloc
        return "NLD-API-05" if any(one.address == address for one in _small(*await _messages(site))) else ""
    except NotHere:
        return ""


def judge_batch(batch: Batch) -> Iterable[Finding]:
    """Whether a batch as large as announced passes in both directions."""
    evidence = (
        Evidence("max_batch_total_size_bytes", str(batch.announced), _SOURCE),
        Evidence("tried", f"{batch.tried} bytes", "BatchUpdateBlobs, BatchReadBlobs"),
    )
    if not batch.failed_at:
        return [ok(f"a batch of {batch.tried} bytes went in and came back", *evidence)]
    if batch.told_by:
        return [blocked(batch.told_by)]
    what = f"batches of {batch.announced or 'any number of'} bytes are announced; one of {batch.tried} fails at "
    what += f"{batch.failed_at}: {batch.said}"
    because = "clients fill batches as far as they may, so many small files fail where one does not"
    remedies = (
        fix("raise max_decoding_message_size of the listener, or leave it out"),
        fix("look for a proxy in between that limits messages", "nlctl", "doctor", "network"),
    )
    return [Finding(Verdict.WARNING, what, because, evidence, remedies)]


class Messages(NamedTuple):
    """The largest message that a listener of a part takes, and where the config says so."""

    part: str
    address: str
    most: int
    place: str


async def _messages(site: Site) -> tuple[int, Sequence[Messages]]:
    announced = (await site.capabilities()).cache_capabilities.max_batch_total_size_bytes
    found = []
    for file in (await site.configs()).files:
        for server in file.config.servers:
            most = getattr(server.listener, "max_decoding_message_size", None)
            if most and server.services and (server.services.cas or server.services.worker_api):
                place = file.config.place(server.listener, "max_decoding_message_size")
                found.append(Messages(file.name, server.listener.socket_address, most, f"{file.name}:{place.line}"))
    return announced, found


def _small(announced: int, found: Iterable[Messages]) -> list[Messages]:
    return [one for one in found if announced and one.most < announced]


def judge_messages(facts: tuple[int, Sequence[Messages]]) -> Iterable[Finding]:
    """Whether the listeners of the cluster take messages as large as the batches that the CAS announces."""
    announced, found = facts
    small = _small(announced, found)
    if not small:
        return [ok("every listener takes messages as large as a batch may be")]
    return [
        Finding(
            Verdict.WARNING,
            f"{one.address} takes messages of {one.most} bytes at most; batches may have {announced}",
            "a full batch ends as RESOURCE_EXHAUSTED, and retries do not help",
            (Evidence("max_decoding_message_size", str(one.most), one.place),),
            (fix("leave max_decoding_message_size out, or raise it above the batch limit"),),
        )
        for one in small
    ]


CHECKS: Final = (
    Check(
        "NLD-API-03",
        "api",
        "endpoints agree on what they offer",
        Level.STANDARD,
        "GetCapabilities of the CAS endpoint beside that of the execution endpoint",
        "failed: execution is off, or no digest function in common; info: one has more than the other",
        "`capabilities` of that listener",
        _offers,
        judge_offers,
        needs=("NLD-API-01",),
        by_hand="which of the two endpoints is right is a choice",
    ),
    Check(
        "NLD-API-04",
        "api",
        "batches as large as announced pass",
        Level.STANDARD,
        "random bytes as many as one batch may have, at most 4 MiB, in and out in one call each",
        "warning: the call that did not pass",
        "the message limit of the server, or a proxy in between",
        _batch,
        judge_batch,
        needs=("NLD-CAS-01",),
        by_hand="what refuses may be a proxy between",
    ),
    Check(
        "NLD-API-05",
        "api",
        "listeners take messages as large as batches",
        Level.LOCAL,
        "max_decoding_message_size of each listener beside the batches that the CAS announces",
        "warning: smaller",
        "leave it out",
        _messages,
        judge_messages,
        needs=("NLD-API-01",),
        by_hand="the smaller limit may be meant: then announce smaller batches",
    ),
)

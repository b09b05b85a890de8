"""Blobs in every form that is announced: compressed, and by each digest function."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.checks.blobs import PROBE_BYTES
from nlctl.doctor.finding import Evidence, Finding, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level

_HALF_BYTES: Final = 512 << 10
_ZSTD: Final = 1
"""Compressor.ZSTD (REAPI v2)."""


class Packed(NamedTuple):
    """What became of a blob that travelled compressed: where it failed, "" where it did not, and the words."""

    digest: str
    failed_at: str = ""
    said: str = ""


async def _packed(site: Site) -> Packed:
    from nlserver.errors import Error
    from nlserver.reapi.client import Client
    from nlserver.reapi.digest import of

    from nlctl.remote import endpoint, headers

    target = site.target
    if _ZSTD not in (await site.capabilities()).cache_capabilities.supported_compressors:
        raise NotHere("the server announces no compression that is known here")
    # Half of it can be made fewer, so that the compressed form differs and still is no trifle.
    data = await asyncio.to_thread(lambda: secrets.token_bytes(_HALF_BYTES) + bytes(_HALF_BYTES))
    function = await site.function()
    name = of(data, function).written
    step = "upload"
    try:
        async with Client(
            cas=endpoint(target.cas, target.access),
            instance_name=target.instance,
            function=function,
            headers=headers(target.access),
            compression="zstd",
        ) as client:
            [digest] = await client.upload([data])
            step = "read"
            if await client.read(digest) != data:
                return Packed(name, step, "other bytes came back")
    except Error as error:
        return Packed(name, step, f"{error.code.name}: {error.message}")
    return Packed(name)


def judge_packed(packed: Packed) -> Iterable[Finding]:
    """Whether a blob that travels compressed comes back as it was."""
    evidence = (Evidence("probe", packed.digest, "compressed-blobs/zstd"),)
    if not packed.failed_at:
        return [ok("1 MiB went in and came back as zstd", *evidence)]
    what = f"zstd is announced, and a compressed blob fails at {packed.failed_at}: {packed.said}"
    remedies = (
        fix("let Bazel do without: --noremote_cache_compression"),
        fix("see what the CAS says", "nlctl", "logs", "cas", "--tail", "50"),
    )
    return [Finding(Verdict.FAILED, what, "clients that see the offer use it for every blob", evidence, remedies)]


async def _functions(site: Site) -> Mapping[str, str]:
    """What became of a probe by each digest function that is announced and known here, "" for nothing wrong."""
    from nlserver.errors import Error
    from nlserver.reapi.digest import Function

    from nlctl.remote import client

    numbers = set((await site.capabilities()).cache_capabilities.digest_functions)
    offered = [one for one in Function if int(one) in numbers]
    if not offered:
        raise NotHere("no digest function that is known here")

    async def tried(function: Function) -> str:
        data = secrets.token_bytes(PROBE_BYTES)
        try:
            async with client(site.target, function) as remote:
                [digest] = await remote.upload([data])
                return "" if await remote.read(digest) == data else "other bytes came back"
        except Error as error:
            return f"{error.code.name}: {error.message}"

    said = await asyncio.gather(*map(tried, offered))
    return {one.name: words for one, words in zip(offered, said, strict=True)}


def judge_functions(found: Mapping[str, str]) -> Iterable[Finding]:
    """Whether each digest function that is announced works."""
    bad = {name: said for name, said in found.items() if said}
    if not bad:
        return [ok(f"blobs go in and come back by {', '.join(found)}")]
    return [
        Finding(
            Verdict.FAILED,
            f"{name} is announced, and a blob of it fails: {said}",
            "a client that chose it cannot build",
            (Evidence(name, said, "BatchUpdateBlobs, BatchReadBlobs"),),
            (fix("let clients use another one, for Bazel: --digest_function=sha256"),),
        )
        for name, said in bad.items()
    ]


CHECKS: Final = (
    Check(
        "NLD-CAS-04",
        "cas",
        "a compressed blob goes in and comes back",
        Level.STANDARD,
        "1 MiB by compressed-blobs/zstd; skipped where it is not announced",
        "failed, with the call that failed",
        "the log of the CAS, or clients without compression",
        _packed,
        judge_packed,
        needs=("NLD-CAS-01",),
        by_hand="the server breaks its word; its log says why",
    ),
    Check(
        "NLD-CAS-05",
        "cas",
        "each digest function that is announced works",
        Level.STANDARD,
        "64 random bytes by each function: BatchUpdateBlobs, BatchReadBlobs",
        "failed, with the function",
        "another function in the client",
        _functions,
        judge_functions,
        needs=("NLD-CAS-01",),
        by_hand="the server breaks its word; its log says why",
    ),
)

"""Gathering what every viewpoint says of a blob: the client's, every layer of every part's, and a fresh probe's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest, Function, of

from nlctl import layers
from nlctl.doctor.blob import Client, Facts
from nlctl.doctor.check import NotHere
from nlctl.doctor.checks.sharing import grid
from nlctl.doctor.rivals import rivals
from nlctl.doctor.site import STOPPED, Site, opened
from nlctl.layers import Layer, Sighting
from nlctl.session import Session

_MOST_READ: Final = 64 << 20
_READ_SECONDS: Final = 10.0
_MOST_RESULTS: Final = 2000


async def search(site: Site, digest: Digest) -> Facts:
    """Everything that can be seen of this blob; viewpoints that do not exist here are left out."""
    client, (sightings, known), split = await asyncio.gather(_client(site, digest), _layers(site, digest), _split(site))
    fought_over = await asyncio.to_thread(rivals, site.target)
    facts = Facts(digest, client, sightings, known, leads=split[0], split=split[1], rivals=fought_over)
    if client.read == "wrong":
        return replace(facts, other_function=await _hashed_by(site, digest))
    if client.has is not False:
        return facts
    # Only of what was evicted it matters whether a result still names it, and looking costs a call a result.
    gone = any(one.evicted is not None for one in sightings)
    return replace(
        facts,
        other_sizes=await _other_sizes(site, digest, known),
        other_function=await _other_function(site, digest),
        other_instance=await _other_instance(site, digest),
        dangling=gone and await _dangling(site, digest, known),
    )


async def searched(session: Session, digest: Digest, name: str = "") -> Facts:
    """The same in the cluster or at the server that this invocation is about. Raises Fault where there is none."""
    session.ui.waiting("asking every place that may have it")
    async with opened(session, name, digest.function) as site:
        return await search(site, digest)


async def _client(site: Site, digest: Digest) -> Client:
    try:
        if await site.client.missing([digest]):
            return Client(has=False)
        if digest.size_bytes > _MOST_READ:
            return Client(has=True, read="unread")
        async with asyncio.timeout(_READ_SECONDS):
            data = await site.client.read(digest)
        return Client(has=True, read="ok" if of(data, digest.function) == digest else "wrong")
    except TimeoutError:
        return Client(has=None, trouble=f"it lists the blob and gave no bytes within {_READ_SECONDS:g}s")
    except Error as error:
        if error.code is Code.DATA_LOSS:
            return Client(has=True, read="wrong")
        if error.code is Code.NOT_FOUND:
            return Client(has=True, read="absent")
        return Client(has=None, trouble=error.message or error.code.name)


async def _layers(site: Site, digest: Digest) -> tuple[Sequence[Sighting], Sequence[Layer]]:
    try:
        sockets = await site.sockets()
        known = await site.layers()
        halted = [one.name for one in await site.reports() if one.state == STOPPED and one.pid is not None]
    except NotHere:
        return (), ()
    seen = await asyncio.to_thread(layers.trace, sockets, digest)
    blobs = {(one.part, one.path) for one in known if "cas" in one.roles}
    silent = [Sighting(name, "", "", "unreachable", message="its process was stopped by a signal") for name in halted]
    return [*(one for one in seen if not one.path or (one.part, one.path) in blobs), *silent], known


async def _split(site: Site) -> tuple[Mapping[tuple[str, str], str], Sequence[tuple[str, str]]]:
    try:
        found = await grid(site)
    except (NotHere, Error):
        return {}, ()
    return found.leads, [(one.part, one.path) for one in found.sightings if one.state == "absent"]


async def _other_sizes(site: Site, digest: Digest, known: Sequence[Layer]) -> Sequence[int]:
    """The sizes with which stores of the CAS hold this hash."""
    sizes: set[int] = set()
    for one in known:
        if one.part == "cas" and "cas" in one.roles and one.can_list:
            socket = (await site.sockets())[one.part]
            for entry in await asyncio.to_thread(layers.entries, socket, one.path, digest.hash, 8):
                size = entry.key.removeprefix(digest.hash + "-")
                if size.isdigit() and int(size) != digest.size_bytes:
                    sizes.add(int(size))
    return sorted(sizes)


async def _other_function(site: Site, digest: Digest) -> str:
    """The name of the other function by which the CAS has this digest, "" for none."""
    for function in Function:
        if function is not digest.function:
            try:
                if not await site.client.missing([Digest(digest.hash, digest.size_bytes, function)]):
                    return function.name
            except Error:
                continue
    return ""


async def _hashed_by(site: Site, digest: Digest) -> str:
    """The name of the other function by which the bytes under this hash are right, "" for none."""
    for function in Function:
        if function is not digest.function:
            try:
                await site.client.read(Digest(digest.hash, digest.size_bytes, function))
            except Error:
                continue
            return function.name
    return ""


async def _other_instance(site: Site, digest: Digest) -> str | None:
    """The name of another instance of the CAS that has it, as far as the configs tell which there are."""
    from nlctl.remote import client

    try:
        files = (await site.configs()).files
    except NotHere:
        return None
    names = {
        str(value.content)
        for file in files
        for path, value in file.values.items()
        if path.endswith("instance_name") and "services" in path
    }
    for name in sorted(names - {site.target.instance}):
        async with client(replace(site.target, instance=name), digest.function) as remote:
            try:
                if not await remote.missing([digest]):
                    return name
            except Error:
                continue
    return None


async def _dangling(site: Site, digest: Digest, known: Sequence[Layer]) -> bool:
    """Whether a result that clients are given names this blob; of very many results the first are looked at."""
    for one in known:
        if one.part != "cas" or "ac" not in one.roles or not one.can_list:
            continue
        socket = (await site.sockets())[one.part]
        for entry in await asyncio.to_thread(layers.entries, socket, one.path, "", _MOST_RESULTS):
            hash_, _, size = entry.key.partition("-")
            try:
                result = await site.client.action_result(Digest(hash_, int(size), digest.function))
            except (Error, ValueError):
                continue
            if result is not None and digest.hash.encode() in result.SerializeToString():
                return True
    return False

"""The way from each part to the servers that its config names: its CAS, its action cache, its scheduler."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nlctl.contexts import Access
from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.checks.network import BECAUSE, Way, fixes, walk
from nlctl.doctor.finding import ADDRESSES, Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level

if TYPE_CHECKING:
    from nlctl.lint.scene import File

_RPC_SECONDS: Final = 5.0
_ROLES: Final = {"cas": "the CAS", "ac": "the action cache", "worker": "the worker API"}


class Call(NamedTuple):
    """A server that a part's config names: what it is to it, its address and what opens it."""

    part: str
    role: str
    url: str
    access: Access


class Reached(NamedTuple):
    """The way of some parts to one server. `refusal` is what the CAS or action cache there said to an empty question,
    "" when it answered; `elsewhere` are those of the parts that live in another network than this process.
    """

    parts: Sequence[str]
    role: str
    way: Way
    refusal: str = ""
    elsewhere: Sequence[str] = ()


def calls(files: Sequence[File]) -> Iterator[Call]:
    """Every server that these configs name, by the names of the parts that run them."""
    from nlctl.lint.scene import Scene

    scene = Scene(tuple(files))
    for file, store in scene.tagged("grpc"):
        for endpoint in store.endpoints if hasattr(store, "store_type") else ():
            yield Call(_part(file), store.store_type, endpoint.address, _access(endpoint.tls_config))
    for file, worker in scene.workers():
        endpoint = worker.worker_api_endpoint
        yield Call(_part(file), "worker", endpoint.uri, _access(endpoint.tls_config))


def _part(file: File) -> str:
    return os.path.basename(file.name).removesuffix(".json5")


def _access(tls: Any) -> Access:
    if tls is None or tls.use_native_roots:
        return Access()
    return Access(tls.ca_file, tls.cert_file, tls.key_file)


async def reached(site: Site) -> Sequence[Reached]:
    """The ways of all parts, each server gone to once. Raises NotHere."""
    return await site.once("reached", lambda: _reached(site))


async def _reached(site: Site) -> Sequence[Reached]:
    if site.record.containers:
        raise NotHere("the names in these configs are those of the containers' network, from which NLD-DKR-04 looks")
    pids = {one.name: one.pid for one in await site.reports() if one.pid is not None}
    grouped: dict[tuple[str, str, Access], list[str]] = defaultdict(list)
    for one in calls((await site.configs()).files):
        if one.part in pids:
            grouped[one.role, one.url, one.access].append(one.part)
    if not grouped:
        raise NotHere("no part that runs has another server in its config")
    elsewhere = [name for name, pid in pids.items() if not _is_in_this_network(pid)]

    async def gone(role: str, url: str, access: Access, parts: Sequence[str]) -> Reached:
        way = await walk(_ROLES[role], url, access, here=True)
        refusal = "" if way.broken or role == "worker" else await _refusal(role, url, access)
        return Reached(sorted(set(parts)), role, way, refusal, [one for one in parts if one in elsewhere])

    return await asyncio.gather(*(gone(*key, parts) for key, parts in grouped.items()))


def _is_in_this_network(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return True


async def _refusal(role: str, url: str, access: Access) -> str:
    """What an empty question is answered, where the service that a part needs is not there."""
    from nlserver.errors import Code, Error
    from nlserver.reapi.client import Client
    from nlserver.reapi.digest import of

    from nlctl.remote import endpoint

    nothing = of(b"no such blob")
    async with Client(cas=endpoint(url, access), timeout_seconds=_RPC_SECONDS) as client:
        try:
            if role == "ac":
                await client.action_result(nothing)
            else:
                await client.missing([nothing])
        except Error as error:
            return f"{error.code.name}: {error.message}" if error.code is Code.UNIMPLEMENTED else ""
    return ""


def judge_reached(found: Sequence[Reached]) -> Iterable[Finding]:
    """One finding for each server that parts need and do not reach."""
    bad = []
    for one in found:
        who = ", ".join(one.parts[:5]) + (f" and {len(one.parts) - 5} more" if len(one.parts) > 5 else "")
        steps = tuple(
            Evidence(step.layer, step.trouble or f"{step.milliseconds:.1f} ms", one.way.url) for step in one.way.steps
        )
        see = fix("see the line", "nlctl", "config", "validate", "--deep")
        if (broken := one.way.broken) is not None:
            what = f"{who} cannot reach {one.way.role} at {one.way.url}: layer {broken.layer}: {broken.trouble}"
            right = fix(f"correct the address in {one.parts[0]}.json5, then restart it", "nlctl", "restart", *one.parts)
            remedies = (right, *fixes(one.way, broken), see)
            bad.append(Finding(Verdict.FAILED, what, BECAUSE[broken.layer], steps, remedies, remedies=_recorded(one)))
        elif one.refusal:
            what = f"{who} looks for {one.way.role} at {one.way.url}, which does not serve it: {one.refusal}"
            because = "a server answers there, and it is another one than the config means"
            remedy = fix(f"give the address of {one.way.role} in {one.parts[0]}.json5")
            bad.append(Finding(Verdict.FAILED, what, because, steps, (remedy, see), remedies=_recorded(one)))
    if bad:
        return bad
    if away := sorted({name for one in found for name in one.elsewhere}):
        what = f"all servers answer from here; {', '.join(away)} live in another network"
        because = "whether they reach them too is proved by the probe blob, which is looked for through them"
        return [Finding(Verdict.INFO, what, because)]
    answers = tuple(Evidence(one.way.role, one.way.url, ", ".join(one.parts)) for one in found)
    return [ok(f"all {len(found)} servers that parts need answer from their place", *answers)]


def _recorded(one: Reached) -> tuple[Remedy, ...]:
    return tuple(Remedy("recorded", (part, ADDRESSES)) for part in one.parts)


CHECKS: Final = (
    Check(
        "NLD-NET-02",
        "network",
        "every part reaches the servers that its config names",
        Level.LOCAL,
        "each address in the configs of parts that run, layer by layer, then an empty question to the CAS there",
        "failed, with the part and the layer at which its way ends; or another server answers",
        "the address in that part's config",
        reached,
        judge_reached,
        needs=("NLD-NET-01", "NLD-PRC-01"),
        repairs=("recorded",),
        by_hand="an address that nlctl did not write is known to who wrote it",
    ),
)

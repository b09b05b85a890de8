"""The way to every endpoint, layer by layer: name, connection, TLS, HTTP/2."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from nlctl.contexts import Access
from nlctl.doctor.check import Check
from nlctl.doctor.checks.parts import is_down
from nlctl.doctor.finding import ADDRESSES, Evidence, Finding, Remedy, Verdict, blocked, ok
from nlctl.doctor.patience import within
from nlctl.doctor.site import Site
from nlctl.faults import Fix, fix
from nlctl.http2 import GREETING
from nlctl.registry import Level

_STEP_SECONDS: Final = 3.0
_MOST_CROWDED: Final = 2.0
_FRAME_HEAD: Final = 9
_SETTINGS: Final = 4
_TLS_RECORDS: Final = (0x15, 0x16)
_SECURE: Final = ("grpcs", "https")
LAYERS: Final = ("name", "connection", "TLS", "HTTP/2")


class Step(NamedTuple):
    """One layer of a way: how long it took, and what went wrong there, "" for nothing."""

    layer: str
    milliseconds: float
    trouble: str = ""


@dataclass(frozen=True)
class Way:
    """The way to an endpoint, as far as it goes; `here` tells that its server should run on this machine.

    `expires` is when the certificate that was shown there ends, seconds since 1970, None without TLS.
    """

    role: str
    url: str
    steps: tuple[Step, ...]
    here: bool
    expires: float | None = None
    told_by: str = ""
    """The check that tells why nothing can answer there."""

    @property
    def broken(self) -> Step | None:
        """The layer at which it ends too early."""
        return next((step for step in self.steps if step.trouble), None)


async def walk(role: str, url: str, access: Access, *, here: bool = False) -> Way:
    """Go to an endpoint; stops at the first layer that fails."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme in _SECURE else 80)
    steps: list[Step] = []
    writer: asyncio.StreamWriter | None = None
    expires: float | None = None
    try:
        async with _timed(steps, "name"):
            address = host if _is_address(host) else await _resolved(host, port)
        async with _timed(steps, "connection"):
            reader, writer = await asyncio.open_connection(address, port)
        if parts.scheme in _SECURE:
            async with _timed(steps, "TLS"):
                await writer.start_tls(_trust(access), server_hostname=host)
            shown = writer.get_extra_info("peercert") or {}
            expires = ssl.cert_time_to_seconds(shown["notAfter"]) if "notAfter" in shown else None
        async with _timed(steps, "HTTP/2"):
            writer.write(GREETING)
            await writer.drain()
            _understood(await reader.read(_FRAME_HEAD))
    except _Broken:
        pass
    finally:
        if writer is not None:
            # Without a farewell: servers of gRPC leave that of TLS unanswered, which asyncio waits for half a minute.
            writer.transport.abort()
            with suppress(OSError, ssl.SSLError):
                await writer.wait_closed()
    return Way(role, url, tuple(steps), here, expires)


def _is_address(host: str) -> bool:
    """Whether there is nothing to look up."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _resolved(host: str, port: int) -> str:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return str(found[0][4][0])


class _Broken(Exception):
    """A layer failed, and is noted."""


class _timed:  # noqa: N801
    """Note how long a layer took, and what went wrong in it."""

    def __init__(self, steps: list[Step], layer: str) -> None:
        self._steps = steps
        self._layer = layer
        self._limit = within(_STEP_SECONDS, _MOST_CROWDED)

    async def __aenter__(self) -> None:
        self._begin = time.monotonic()
        await self._limit.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        spent = (time.monotonic() - self._begin) * 1000
        try:
            await self._limit.__aexit__(kind, error, None)
        except TimeoutError:
            self._steps.append(Step(self._layer, spent, f"no answer within {spent / 1000:.0f}s"))
            raise _Broken from None
        if error is None:
            self._steps.append(Step(self._layer, spent))
        elif isinstance(error, OSError | ssl.SSLError | _Odd | EOFError):
            self._steps.append(Step(self._layer, spent, _words(error)))
            raise _Broken from None


class _Odd(Exception):
    """The other side speaks something else; its text says what."""


def _understood(head: bytes) -> None:
    if len(head) == _FRAME_HEAD and head[3] == _SETTINGS:
        return
    if head.startswith(b"HTTP/1"):
        raise _Odd("it speaks HTTP/1 only")
    if head[:1] and head[0] in _TLS_RECORDS:
        raise _Odd("it wants TLS")
    raise _Odd("it closed the connection" if not head else "it speaks no HTTP/2")


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, OSError):
        # Numbers of getaddrinfo are negative, and asyncio puts the address in the place of the words.
        number = error.errno or 0
        return (os.strerror(number) if number > 0 else error.strerror or str(error)).lower()
    return str(error)


def _trust(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=access.ca_file)
    context.set_alpn_protocols(["h2"])
    if access.cert_file:
        context.load_cert_chain(access.cert_file, access.key_file)
    return context


_SERVED_BY: Final = {"CAS": "cas", "execution": "scheduler", "worker API and admin": "scheduler"}


async def ways(site: Site) -> Sequence[Way]:
    """The ways to the endpoints of the target, gone once."""
    return await site.once("ways", lambda: _gone(site))


async def _gone(site: Site) -> Sequence[Way]:
    target = site.target
    urls = {"CAS": target.cas, "execution": target.executor}
    if target.admin and "://" in target.admin:
        urls["worker API and admin"] = str(target.admin)
    if target.cluster is None:
        return await asyncio.gather(*(walk(role, str(url), target.access) for role, url in urls.items()))
    parts = {one.name: one for one in await site.reports()}

    async def one(role: str, url: str) -> Way:
        part = parts.get(_SERVED_BY[role])
        if part is None or is_down(part):
            return Way(role, url, (), here=True, told_by="NLD-PRC-02" if part is None else "NLD-PRC-01")
        return await walk(role, url, target.access, here=True)

    return await asyncio.gather(*(one(role, str(url)) for role, url in urls.items()))


def judge_ways(found: Sequence[Way]) -> Iterable[Finding]:
    """One finding for each way that does not lead there, by the layer at which it ends."""
    for way in found:
        if way.told_by:
            yield blocked(way.told_by)
            continue
        evidence = tuple(Evidence(one.layer, one.trouble or f"{one.milliseconds:.1f} ms", way.url) for one in way.steps)
        broken = way.broken
        if broken is None:
            yield ok(f"{way.role} answers at {way.url}", *evidence)
            continue
        yield Finding(
            Verdict.FAILED,
            f"{way.role} at {way.url} fails at the layer {broken.layer}: {broken.trouble}",
            BECAUSE[broken.layer],
            evidence,
            tuple(fixes(way, broken)),
            remedies=tuple(_remedies(way)),
        )


_PARTS: Final = {"CAS": "cas"}
"""The part that listens there, by its role; the scheduler for all others."""
BECAUSE: Final = {
    "name": "the name of the host does not resolve on this machine",
    "connection": "the host is known, and nothing takes connections at this port",
    "TLS": "a connection was made, and the two sides do not agree on a secure one",
    "HTTP/2": "something answers at this port, and it is no gRPC server for this scheme",
}


def _remedies(way: Way) -> Iterable[Remedy]:
    if way.here:
        yield Remedy("start_parts")
        yield Remedy("recorded", (_PARTS.get(way.role, "scheduler"), ADDRESSES))


def fixes(way: Way, broken: Step) -> Iterable[Fix]:
    """What to do about a way that ends in this layer."""
    scheme, _, rest = way.url.partition("://")
    match broken.layer:
        case "name":
            yield fix("correct the host name, or add it to DNS or /etc/hosts")
        case "connection" if way.here:
            yield fix("see which part is down", "nlctl", "ps")
            yield fix("start it", "nlctl", "up")
        case "connection":
            yield fix("check that the server runs, listens there, and that no firewall is between")
        case "TLS" if "wrong version" in broken.trouble or "record layer" in broken.trouble:
            yield fix(f"the server speaks no TLS there: write grpc://{rest}")
        case "TLS" if "expired" in broken.trouble:
            yield fix("renew the server's certificate")
        case "TLS":
            yield fix("give the authority that signed it: nlctl context add NAME URL --ca-file FILE")
        case _ if "TLS" in broken.trouble or (scheme not in _SECURE and "closed" in broken.trouble):
            yield fix(f"the server may want TLS: write grpcs://{rest}")
        case _:
            yield fix("give the port of the gRPC listener")


class Proxies(NamedTuple):
    """Proxy variables that are set, and the hosts that they would catch."""

    variables: Mapping[str, str]
    caught: Sequence[str]


async def _proxies(site: Site) -> Proxies:
    names = ("grpc_proxy", "https_proxy", "http_proxy")
    variables = {name: value for name in names if (value := site.environment.get(name))}
    spared = (site.environment.get("no_grpc_proxy") or site.environment.get("no_proxy", "")).split(",")
    hosts = {urlsplit(str(url)).hostname or "" for url in (site.target.cas, site.target.executor)}
    return Proxies(variables, sorted(host for host in hosts if not _is_spared(host, spared)))


def _is_spared(host: str, spared: Sequence[str]) -> bool:
    """GRPC leaves out hosts that end with an entry of no_proxy."""
    return any(entry and host.endswith(entry) for entry in map(str.strip, spared))


def judge_proxies(proxies: Proxies) -> Iterable[Finding]:
    """Whether clients here would send their calls to a proxy."""
    if not proxies.variables or not proxies.caught:
        return [ok("no proxy variable catches these endpoints")]
    hosts = ",".join(proxies.caught)
    return [
        Finding(
            Verdict.WARNING,
            f"clients in this shell reach {hosts} through a proxy",
            "gRPC clients honour these variables, and most proxies end HTTP/2 streams that are idle or long",
            tuple(Evidence(name, value, "environment") for name, value in proxies.variables.items()),
            (fix(f"export no_proxy={hosts}"),),
        )
    ]


CHECKS: Final = (
    Check(
        "NLD-NET-01",
        "network",
        "every endpoint answers",
        Level.STANDARD,
        "name, connection, TLS and HTTP/2 of each endpoint, one after the other, each timed",
        "failed, with the layer at which the way ends",
        "by the layer: name, port, scheme or certificate",
        ways,
        judge_ways,
        needs=("NLD-PORT-01",),
        repairs=("start_parts", "recorded"),
        by_hand="a way to a server elsewhere is mended there, or where its address was given",
    ),
    Check(
        "NLD-NET-03",
        "network",
        "no proxy is in the way",
        Level.STANDARD,
        "grpc_proxy, https_proxy and http_proxy with no_proxy",
        "warning: clients in this shell would use a proxy",
        "put the hosts into no_proxy",
        _proxies,
        judge_proxies,
        by_hand="the variable is set in your shell",
    ),
)

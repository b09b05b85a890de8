"""Content from HTTP servers of the network, fetched on behalf of clients that may be anybody.

Laws: every hop is judged anew and connects to an address that was judged, so neither a redirect nor a name that
changes its mind leads anywhere else; headers of a client never leave the origin that they were meant for; nothing is
decoded; content stands in an unnamed file, not in memory, until it is whole.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from nlserver import fs, log
from nlserver.asset.address import Network, may_connect, may_name
from nlserver.asset.integrity import Checksum, Hashes
from nlserver.asset.question import Headers, is_downloadable, without_query
from nlserver.errors import Code, Error
from nlserver.proto import asset_pb2
from nlserver.reapi.digest import Digest, Function
from nlserver.streams import CHUNK_BYTES

if TYPE_CHECKING:
    import httpx

_MOST_HOPS: Final = 5
_CONNECT_SECONDS: Final = 10.0
_SILENT_SECONDS: Final = 60.0
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_NOTED: Final = ("content-type", "content-encoding", "content-disposition", "date", "etag", "last-modified")
_LONGEST_NOTE: Final = 1 << 10
_USER_AGENT: Final = "nlserver"
_REFUSALS: Final = {
    401: Code.PERMISSION_DENIED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    408: Code.DEADLINE_EXCEEDED,
    410: Code.NOT_FOUND,
    429: Code.RESOURCE_EXHAUSTED,
    451: Code.PERMISSION_DENIED,
    504: Code.DEADLINE_EXCEEDED,
}


class Undelivered(Error):
    """The content could not be had, for reasons outside this server: told inside a response (Remote Asset API)."""


@dataclass(frozen=True)
class Policy:
    """What may be fetched, and at what price."""

    hosts: Sequence[str] | None
    networks: Sequence[Network]
    needs_checksum: bool
    most_bytes: int
    seconds: float
    most_at_once: int
    temporary: str | None


@dataclass(frozen=True)
class Downloaded:
    """Content that is whole and verified, and how it came here. The file lives as long as the block that made it."""

    digest: Digest
    path: Path
    provenance: asset_pb2.Download


class Downloads:
    """Fetches from the network, within one policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._slots = asyncio.Semaphore(policy.most_at_once)
        self._tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def fetched(
        self, uri: str, headers: Headers, checksums: Sequence[Checksum], function: Function
    ) -> AsyncIterator[Downloaded]:
        """The content of this URL, which has one of the checksums if any is given.

        Raises Undelivered: PERMISSION_DENIED for what the policy refuses, ABORTED for content that is not what was
        demanded and for broken connections, RESOURCE_EXHAUSTED past the limit of size, and what the server says.
        """
        if self.policy.needs_checksum and not checksums:
            raise Undelivered(
                Code.PERMISSION_DENIED,
                f"{without_query(uri)} is not fetched without a checksum",
                remedy="State its sha256 or integrity, or let the server fetch without (download.require_checksum).",
            )
        async with self._slots:
            tls = await self._tls_context()
            import httpx

            with _scratch(self.policy.temporary) as file:
                async with httpx.AsyncClient(
                    verify=tls,
                    trust_env=False,
                    timeout=httpx.Timeout(_SILENT_SECONDS, connect=_CONNECT_SECONDS),
                    limits=httpx.Limits(max_keepalive_connections=0),
                ) as client:
                    hashes = Hashes(function, checksums)
                    try:
                        provenance = await _Pursuit(client, self.policy, headers, hashes, file).follow(uri)
                    except httpx.TimeoutException as failure:
                        raise _undelivered(Code.DEADLINE_EXCEEDED, uri, "its server is silent") from failure
                    except httpx.HTTPError as failure:
                        raise _undelivered(Code.ABORTED, uri, _broken(failure)) from failure
                if not hashes.hold:
                    raise _undelivered(
                        Code.ABORTED, uri, f"its content of {hashes.size} bytes has none of the demanded checksums"
                    )
                yield Downloaded(hashes.digest, Path(f"/proc/self/fd/{file.fileno()}"), provenance)

    async def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            # Loading the library and the authorities takes half a second, once.
            self._tls = await asyncio.to_thread(_tls_context)
        return self._tls


def _scratch(directory: str | None) -> IO[bytes]:
    with fs.failing("keeping a download"):
        return tempfile.TemporaryFile(dir=directory, buffering=0)


def _tls_context() -> ssl.SSLContext:
    import httpx

    context = httpx.create_ssl_context(trust_env=False)
    # Authorities of this machine, or of SSL_CERT_FILE, are trusted beside the public ones.
    context.load_default_certs()
    return context


class _Pursuit:
    """One URL, through its redirects, into a file."""

    def __init__(
        self, client: httpx.AsyncClient, policy: Policy, headers: Headers, hashes: Hashes, file: IO[bytes]
    ) -> None:
        self._client = client
        self._policy = policy
        self._headers = headers
        self._hashes = hashes
        self._file = file

    async def follow(self, uri: str) -> asset_pb2.Download:
        """Fill the file. Raises Undelivered, and what httpx raises for connections that break."""
        hops: list[str] = []
        url = self._url(uri)
        headers = self._headers
        while True:
            hops.append(without_query(str(url)))
            response = await self._ask(url, headers)
            try:
                if response.status_code not in _REDIRECTS:
                    await self._take(response, uri)
                    return _provenance(hops, response)
                if len(hops) > _MOST_HOPS:
                    raise _undelivered(Code.ABORTED, uri, f"it is redirected more than {_MOST_HOPS} times")
                target = self._target(url, response)
            finally:
                await response.aclose()
            if _origin(target) != _origin(url):
                headers = ()
            url = target

    def _url(self, text: str) -> httpx.URL:
        import httpx

        try:
            url = httpx.URL(text).copy_with(fragment=None)
        except httpx.InvalidURL as failure:
            raise _undelivered(Code.PERMISSION_DENIED, text, "it is not a URL that can be fetched") from failure
        if url.userinfo:
            raise _undelivered(Code.PERMISSION_DENIED, text, "it holds credentials")
        if not url.host or not is_downloadable(text):
            raise _undelivered(Code.PERMISSION_DENIED, text, "only http and https URLs are fetched")
        if not may_name(url.host.lower(), self._policy.hosts):
            raise _undelivered(Code.PERMISSION_DENIED, text, f"nothing is fetched from host {url.host[:100]!r}")
        return url

    def _target(self, url: httpx.URL, response: httpx.Response) -> httpx.URL:
        import httpx

        location = response.headers.get("location", "")
        try:
            joined = str(url.join(location))
        except httpx.InvalidURL:
            joined = ""
        if not location or not joined:
            raise _undelivered(Code.ABORTED, str(url), "it is redirected to nowhere")
        target = self._url(joined)
        if url.scheme == "https" and target.scheme == "http" and not self._hashes.demanding:
            raise _undelivered(
                Code.PERMISSION_DENIED, str(url), "it is redirected from https to http, and no checksum is demanded"
            )
        return target

    async def _ask(self, url: httpx.URL, headers: Headers) -> httpx.Response:
        """The beginning of the answer, from the first address that can be reached of those that may be."""
        import httpx

        sent = {"user-agent": _USER_AGENT, **dict(headers), "accept-encoding": "identity"}
        raw = {b"host": url.netloc, **{name.encode(): value.encode("latin-1") for name, value in sent.items()}}
        *others, last = await self._addresses(url)
        for address in (*others, last):
            request = self._client.build_request(
                "GET",
                url.copy_with(host=address),
                headers=raw,
                extensions={"sni_hostname": url.raw_host.decode()},
            )
            try:
                return await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if address is last:
                    raise
        raise AssertionError("there is a last address")

    async def _addresses(self, url: httpx.URL) -> list[str]:
        """The addresses of a host that may be connected to, at least one."""
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(url.raw_host.decode(), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as failure:
            raise _undelivered(Code.NOT_FOUND, str(url), f"host {url.host[:100]!r} is not known") from failure
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        allowed = [text for text in addresses if may_connect(ipaddress.ip_address(text), self._policy.networks)]
        if not allowed:
            # What inner names stand for is nothing to tell clients of.
            log.warn("Refused to fetch from a private address", url=without_query(str(url)), addresses=addresses)
            raise _undelivered(
                Code.PERMISSION_DENIED,
                str(url),
                f"host {url.host[:100]!r} is not in the public internet, nor in download.allowed_networks",
            )
        return allowed

    async def _take(self, response: httpx.Response, uri: str) -> None:
        if response.status_code != 200:
            code = _REFUSALS.get(response.status_code, Code.ABORTED)
            raise _undelivered(code, uri, f"its server answered HTTP {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity" and not self._hashes.demanding:
            raise _undelivered(Code.ABORTED, uri, "its server encodes it although it was asked not to")
        most = self._policy.most_bytes
        announced = response.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > most:
            raise _too_large(uri, most)
        async for chunk in response.aiter_raw(CHUNK_BYTES):
            if self._hashes.size + len(chunk) > most:
                raise _too_large(uri, most)
            with fs.failing("keeping a download"):
                await fs.in_thread(self._keep, chunk)

    def _keep(self, chunk: bytes) -> None:
        fs.write_all(self._file.fileno(), [chunk])
        self._hashes.update(chunk)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _provenance(hops: Sequence[str], response: httpx.Response) -> asset_pb2.Download:
    return asset_pb2.Download(
        hops=hops,
        # Requests name addresses, not hosts.
        address=response.request.url.host,
        headers=[
            asset_pb2.Header(name=name, value=response.headers[name][:_LONGEST_NOTE])
            for name in _NOTED
            if name in response.headers
        ],
    )


def _undelivered(code: Code, uri: str, reason: str) -> Undelivered:
    return Undelivered(code, f"{without_query(uri)[:500]}: {reason}")


def _too_large(uri: str, most: int) -> Undelivered:
    return _undelivered(Code.RESOURCE_EXHAUSTED, uri, f"it is larger than {most} bytes (download.max_bytes)")


def _broken(failure: BaseException) -> str:
    """Why a connection broke, in words of the system rather than of a library."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its server's certificate is not good: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "no TLS connection with its server comes about"
        if isinstance(cause, OSError) and cause.errno:
            return f"its server cannot be reached: {os.strerror(cause.errno)}"
        cause = cause.__cause__ or cause.__context__
    return "the connection broke, or its server does not speak HTTP"

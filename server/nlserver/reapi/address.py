"""How servers are addressed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from nlserver.errors import invalid

_PORTS: Final = {"grpc": 80, "http": 80, "grpcs": 443, "https": 443}
_SECURE: Final = frozenset(("grpcs", "https"))


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect: gRPC's own spelling, and whether TLS is spoken."""

    name: str
    secure: bool


def target_of(address: str) -> Target:
    """What an address means: `grpc://`, `http://`, `grpcs://`, `https://`, `unix:`, or `host:port` without a scheme.

    Raises Error INVALID_ARGUMENT.
    """
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        return Target(f"unix:{path.removeprefix('//')}", secure=False)
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "grpc", address
    scheme, host = scheme.lower(), rest.partition("/")[0]
    if scheme not in _PORTS or not host or not host.isprintable() or " " in host:
        raise invalid(f"{address!r} is no address of a server", remedy="Write grpc://HOST:PORT or grpcs://HOST:PORT.")
    name, colon, port = host.rpartition(":")
    bare = not colon or "]" in port
    if not bare and not (name and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise invalid(f"{address!r} has no possible port", remedy="Write grpc://HOST:PORT.")
    return Target(f"{host}:{_PORTS[scheme]}" if bare else host, scheme in _SECURE)


def is_local(address: str) -> bool:
    """Whether this is an address of this machine by its form: a Unix socket, `localhost`, or a loopback address.

    Raises Error INVALID_ARGUMENT.
    """
    name = target_of(address).name
    if name.startswith("unix:"):
        return True
    host = name.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Which addresses a server may connect to on behalf of its clients, who may be nobody's friends. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# All of IPv6 that was ever given out for use in the internet (RFC 4291, 2.4); Python calls more than that global.
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks in these texts, such as `10.0.0.0/8` or a single address. Raises ValueError naming the wrong one."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def may_connect(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether an address is one of the public internet, or in one of the `allowed` networks."""
    plain = _carried(address)
    if any(address in network or plain in network for network in allowed):
        return True
    if isinstance(plain, ipaddress.IPv6Address) and plain not in _UNICAST:
        return False
    return plain.is_global and not plain.is_multicast and not plain.is_reserved


def may_name(host: str, allowed: Sequence[str] | None) -> bool:
    """Whether a host, in lower case, is one of the allowed names: `example.org`, `*.example.org`, or None for any."""
    if allowed is None:
        return True
    return any(host.endswith(name[1:].lower()) if name.startswith("*.") else host == name.lower() for name in allowed)


def _carried(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where packets to it end up there; else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if address.sixtofour is not None:
            return address.sixtofour
    return address

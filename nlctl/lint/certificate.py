"""What is told of a certificate without trusting it: whose it is by its fingerprint, and when it ends. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----(?P<body>[A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17


@dataclass(frozen=True)
class Certificate:
    """The first certificate of a file: SHA-256 of its DER form, and the end of its validity in seconds since 1970."""

    fingerprint: str
    ends: float


def read(text: str) -> Certificate | None:
    """The first certificate of a PEM file; None where there is none that can be read."""
    match = _PEM.search(text)
    if match is None:
        return None
    try:
        der = base64.b64decode("".join(match["body"].split()), validate=True)
        return Certificate(hashlib.sha256(der).hexdigest(), _ends(der))
    except ValueError:
        return None


def _ends(der: bytes) -> float:
    """NotAfter (RFC 5280, 4.1.2.5). Raises ValueError."""
    _, certificate = next(_values(der), (0, b""))
    _, signed = next(_values(certificate), (0, b""))
    fields = [one for one in _values(signed) if one[0] != _VERSION]
    # serialNumber, signature, issuer, validity
    if len(fields) < 4 or fields[3][0] != _SEQUENCE:
        raise ValueError("no certificate")
    times = list(_values(fields[3][1]))
    kind, text = times[-1] if times else (0, b"")
    return datetime.strptime(_four_digits(kind, text.decode("ascii")), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _four_digits(kind: int, text: str) -> str:
    """UTCTime has two digits of the year: 50 to 99 are of the last century."""
    return ("19" if text[:1] >= "5" else "20") + text if kind == _UTC_TIME else text


def _values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each DER value. Raises ValueError for what is cut off."""
    at = 0
    while at < len(data):
        if len(data) - at < 2:
            raise ValueError("cut off")
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            more = size & 0x7F
            size, at = int.from_bytes(data[at : at + more], "big"), at + more
        if at + size > len(data):
            raise ValueError("cut off")
        yield tag, data[at : at + size]
        at += size

"""From when to when the certificates in a PEM file hold: as much of X.509 as that needs (RFC 5280, 4.1.2.5). Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

_is_certificate: Final = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_BEFORE_VALIDITY: Final = 3
"""Serial number, signature algorithm and issuer."""


class Validity(NamedTuple):
    """Seconds since 1970."""

    begins: float
    ends: float


def validities(pem: str) -> list[Validity]:
    """Those of all certificates of the file, in its order. Raises ValueError for what is none."""
    try:
        return [_validity(base64.b64decode(match[1])) for match in _is_certificate.finditer(pem)]
    except (IndexError, StopIteration) as error:
        raise ValueError("a certificate ends too early") from error


def _validity(certificate: bytes) -> Validity:
    _, whole = next(_elements(certificate))
    _, body = next(_elements(whole))
    fields = _elements(body)
    tag, _ = next(fields)
    # The version stands first, unless it is the first one.
    for _ in range(_BEFORE_VALIDITY if tag == _VERSION else _BEFORE_VALIDITY - 1):
        next(fields)
    _, validity = next(fields)
    begins, ends = (_time(tag, value.decode("ascii")) for tag, value in _elements(validity))
    return Validity(begins, ends)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and contents of what stands side by side in DER."""
    place = 0
    while place < len(data):
        tag, length = data[place], data[place + 1]
        place += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[place : place + count])
            place += count
        yield tag, data[place : place + length]
        place += length


def _time(tag: int, text: str) -> float:
    if tag == _UTC_TIME:
        # Two digits of the year: 50 and more are of the last century.
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()

"""Subresource Integrity: checksums that clients demand of an asset (qualifier `checksum.sri`). Pure."""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from blake3 import blake3

from nlserver.errors import invalid
from nlserver.reapi.digest import Digest, Function, Hasher, hasher

_BYTES: Final = {"sha256": 32, "sha384": 48, "sha512": 64, "blake3": 32}
_MOST_CHECKSUMS: Final = 16
_SHOWN: Final = 100


class Checksum(NamedTuple):
    """One that the content may have."""

    algorithm: str
    hexadecimal: str


def parse(text: str) -> tuple[Checksum, ...]:
    """The checksums in a list `ALGORITHM-BASE64 ...`, of which the content must have one.

    Raises Error INVALID_ARGUMENT for an empty list, more than a few checksums, and what is none: also for MD5 and
    SHA-1, which prove nothing.
    """
    tokens = text.split(None, _MOST_CHECKSUMS)
    if not tokens:
        raise invalid("checksum.sri is empty; write ALGORITHM-BASE64, such as sha256-...")
    if len(tokens) > _MOST_CHECKSUMS:
        raise invalid(f"checksum.sri holds more than {_MOST_CHECKSUMS} checksums")
    return tuple(map(_checksum, tokens))


def _checksum(token: str) -> Checksum:
    algorithm, _, rest = token.partition("-")
    size = _BYTES.get(algorithm)
    if size is None:
        raise invalid(f"checksum.sri {token[:_SHOWN]!r} is of no known algorithm; known are {', '.join(_BYTES)}")
    try:
        # Options after a question mark are reserved and mean nothing yet (W3C, Subresource Integrity).
        value = binascii.a2b_base64(rest.partition("?")[0].encode("ascii"), strict_mode=True)
    except (ValueError, binascii.Error):
        value = b""
    if len(value) != size:
        raise invalid(f"checksum.sri {token[:_SHOWN]!r} is not {algorithm} of {size} bytes in base64")
    return Checksum(algorithm, value.hex())


class Hashes:
    """Hashes content as it comes: its digest by one function, and whether it has one of the checksums."""

    def __init__(self, function: Function, checksums: Sequence[Checksum]) -> None:
        self._function = function
        self._checksums = frozenset(checksums)
        self._by = {function.name.lower(): hasher(function)}
        for algorithm in {checksum.algorithm for checksum in checksums}:
            self._by.setdefault(algorithm, _hasher(algorithm))
        self.size = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes: 0.2 to 2 ms a MiB for each algorithm."""
        self.size += len(data)
        for each in self._by.values():
            each.update(data)

    @property
    def demanding(self) -> bool:
        """Whether any checksum is demanded."""
        return bool(self._checksums)

    @property
    def digest(self) -> Digest:
        """The digest of all bytes so far."""
        return Digest(self._by[self._function.name.lower()].hexdigest(), self.size, self._function)

    @property
    def hold(self) -> bool:
        """Whether all bytes so far have one of the checksums, if any was demanded."""
        return not self._checksums or any(
            self._by[checksum.algorithm].hexdigest() == checksum.hexadecimal for checksum in self._checksums
        )


def _hasher(algorithm: str) -> Hasher:
    return blake3() if algorithm == "blake3" else hashlib.new(algorithm)

"""Digests: the names of blobs. Pure; every text from outside becomes a Digest here or an Error."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Final, NamedTuple, Protocol

from blake3 import blake3

from nlserver.errors import invalid

LARGEST_SIZE: Final = 2**63 - 1
_is_hash: Final = re.compile(r"[0-9a-f]{64}").fullmatch
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class Function(IntEnum):
    """The digest functions that we serve, by their REAPI v2 numbers; both make 64 hex digits."""

    SHA256 = 1
    BLAKE3 = 9


class Hasher(Protocol):
    """Anything that hashes: hashlib's and blake3's objects."""

    def update(self, data: Any, /) -> Any:
        """Take the next bytes."""
        ...

    def hexdigest(self) -> str:
        """Lower-case hex of all bytes so far."""
        ...


class Digest(NamedTuple):
    """Lower-case hex hash, size in bytes, and the function that made it (REAPI v2, Digest).

    Two digests that differ in the function are different names. Stores that keep NativeLink's layout name files
    without the function, see `decisions/`.
    """

    hash: str
    size_bytes: int
    function: Function = Function.SHA256

    def __str__(self) -> str:
        return f"{self.hash}-{self.size_bytes}"

    @property
    def written(self) -> str:
        """`{hash}/{size}`, as people and tools write it."""
        return f"{self.hash}/{self.size_bytes}"

    @property
    def subject(self) -> str:
        """`blobs/{hash}/{size}`, with the function where clients cannot infer it (REAPI v2, Execute, MISSING)."""
        function = "" if self.function is Function.SHA256 else f"{self.function.name.lower()}/"
        return f"blobs/{function}{self.written}"


class HasDigest(Protocol):
    """The protobuf message Digest, or anything shaped like it."""

    @property
    def hash(self) -> str:
        """The hash as text."""
        ...

    @property
    def size_bytes(self) -> int:
        """The size as stated."""
        ...


def hasher(function: Function) -> Hasher:
    """A fresh hasher of this function."""
    return hashlib.sha256() if function is Function.SHA256 else blake3()


def of(data: bytes | bytearray | memoryview, function: Function = Function.SHA256) -> Digest:
    """The digest of these bytes. Hashing takes 0.2-0.6 ms a MiB: large data is for a thread."""
    made = hasher(function)
    made.update(data)
    return Digest(made.hexdigest(), len(data), function)


EMPTY: Final = {function: of(b"", function) for function in Function}
"""The digest of no bytes, by function: always present, never stored (REAPI v2, FindMissingBlobs)."""
_EMPTY_HASHES: Final = frozenset(digest.hash for digest in EMPTY.values())


def is_empty(digest: Digest) -> bool:
    """Whether this names the blob of no bytes."""
    return digest.size_bytes == 0


def digest_of(message: HasDigest, function: Function = Function.SHA256) -> Digest:
    """The Digest in a protobuf message.

    Raises Error INVALID_ARGUMENT for a hash that is not 64 lower-case hex digits, a size that is negative, or a
    size of 0 whose hash is not that of no bytes.
    """
    # Requests bring tens of thousands of digests: each look into a message costs 0.2 us.
    hash_, size = message.hash, message.size_bytes
    if not _is_hash(hash_):
        raise invalid(
            f"Invalid hash: {hash_[:80]!r} has {len(hash_)} characters; "
            f"a {function.name} hash is 64 lower-case hex digits"
        )
    if size < 0:
        raise invalid(f"Invalid digest: the size of {hash_} is negative: {size}")
    if (size == 0) != (hash_ in _EMPTY_HASHES):
        raise invalid(f"Invalid digest: {hash_} cannot have {size} bytes: exactly the empty blob has none")
    return Digest(hash_, size, function)


def digests_of(messages: Iterable[HasDigest], function: Function = Function.SHA256) -> list[Digest]:
    """The Digests in many messages, in order. Raises what `digest_of` raises, for the first that is malformed."""
    # Ten thousand calls of a function, and of the constructor of a tuple's subclass, would be half of the time.
    is_hash, empty, make = _is_hash, _EMPTY_HASHES, tuple.__new__
    digests: list[Digest] = []
    for message in messages:
        hash_, size = message.hash, message.size_bytes
        if size > 0 and is_hash(hash_) and hash_ not in empty:
            digests.append(make(Digest, (hash_, size, function)))
        else:
            digests.append(digest_of(message, function))
    return digests


def parse_size(text: str) -> int:
    """A size in a resource name: decimal, no sign, no leading zero, at most 2^63-1. Raises Error INVALID_ARGUMENT."""
    if not _SIZE.fullmatch(text) or (size := int(text)) > LARGEST_SIZE:
        raise invalid(f"Invalid size {text[:40]!r}: a size is a decimal number of bytes")
    return size


def function_of(number: int, default: Function = Function.SHA256) -> Function:
    """The function of a request's `digest_function` field; 0 (unset) means `default`.

    Raises Error INVALID_ARGUMENT for a function that we do not announce (REAPI v2, DigestFunction).
    """
    if number == 0:
        return default
    try:
        return Function(number)
    except ValueError:
        served = ", ".join(f.name for f in Function)
        raise invalid(f"digest function {number} is not served here; served are {served}") from None

"""The order in which GetTree visits and pages directories. Pure.

Breadth first from the root, each directory once, so that the order is the same in every call and a page token can
name the directory with which a page begins.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import Final

from google.protobuf.message import DecodeError

from nlserver.errors import Code, Error, invalid
from nlserver.proto import remote_execution_pb2
from nlserver.reapi.digest import Digest, digest_of
from nlserver.transfer.answers import get_tree_response
from nlserver.transfer.limits import MOST_DIRECTORY_BYTES, MOST_PAGE_BYTES

MOST_DIRECTORIES: Final = 1 << 18
"""The most different directories of a tree: they are remembered while it is walked, 250 bytes each."""
_MOST_AT_ONCE: Final = 32
_OVERHEAD_BYTES: Final = 8
_TOKEN_BYTES: Final = 256


class Walk:
    """Which directories come next. Take a batch, give what was found of it, until it is empty."""

    def __init__(self, root: Digest, most: int = MOST_DIRECTORIES) -> None:
        self._most = most
        self._row = deque([root])
        self._seen = {root}

    def take(self) -> list[Digest]:
        """The next directories to fetch together: few enough to be held in memory; empty at the end.

        Raises Error INVALID_ARGUMENT for a directory that no message could carry.
        """
        batch: list[Digest] = []
        held = 0
        while self._row and len(batch) < _MOST_AT_ONCE:
            held += _checked(self._row[0]).size_bytes
            if batch and held > MOST_PAGE_BYTES:
                break
            batch.append(self._row.popleft())
        return batch

    def found(self, digest: Digest, data: bytes) -> None:
        """Queue the children of this directory.

        Raises Error INVALID_ARGUMENT when the blob is no directory, RESOURCE_EXHAUSTED when the tree has too many.
        """
        for child in _children(digest, data):
            if child not in self._seen:
                if len(self._seen) == self._most:
                    raise Error(Code.RESOURCE_EXHAUSTED, f"a tree of more than {self._most} directories")
                self._seen.add(child)
                self._row.append(child)


def _checked(digest: Digest) -> Digest:
    if digest.size_bytes > MOST_DIRECTORY_BYTES:
        raise invalid(f"directory {digest} is too large: GetTree serves directories up to {MOST_DIRECTORY_BYTES} bytes")
    return digest


def _children(digest: Digest, data: bytes) -> Iterator[Digest]:
    try:
        directory = remote_execution_pb2.Directory.FromString(data)
    except DecodeError:
        raise invalid(f"blob {digest} is not a Directory") from None
    for node in directory.directories:
        yield digest_of(node.digest, digest.function)


class Pages:
    """Cuts directories into messages of at most `most_items` (0: no limit) and about 1 MiB.

    With a `start` directory everything before it in the walk is left out.
    """

    def __init__(self, scope: str, most_items: int, start: Digest | None) -> None:
        self._scope = scope
        self._most_items = most_items
        self._start = start
        self._page: list[bytes] = []
        self._bytes = 0

    @property
    def started(self) -> bool:
        """Whether the walk has come to the start directory."""
        return self._start is None

    def reached(self, digest: Digest) -> None:
        """The walk has come to this directory, present or not."""
        if digest == self._start:
            self._start = None

    def add(self, digest: Digest, data: bytes) -> bytes | None:
        """Put a directory on the page; a full page comes out as a GetTreeResponse with the token of this one."""
        if not self.started:
            return None
        size = len(data) + _OVERHEAD_BYTES
        full = self._bytes + size + _TOKEN_BYTES > MOST_PAGE_BYTES or len(self._page) == self._most_items > 0
        out = get_tree_response(self._page, token_of(self._scope, digest)) if self._page and full else None
        if out is not None:
            self._page, self._bytes = [], 0
        self._page.append(data)
        self._bytes += size
        return out

    def last(self) -> bytes:
        """The last page, without a token."""
        return get_tree_response(self._page, "")


def token_of(scope: str, digest: Digest) -> str:
    """The page token that continues with this directory; `scope` says of which instance and tree."""
    return f"{digest}-{_seal(scope, str(digest))}"


def start_of(scope: str, token: str, root: Digest) -> Digest | None:
    """The directory that a page token names, None for the empty token.

    Raises Error INVALID_ARGUMENT for a token that was not handed out for this tree.
    """
    if not token:
        return None
    name, _, seal = token.rpartition("-")
    hash_, _, size = name.rpartition("-")
    if not name.isascii() or seal != _seal(scope, name) or not size.isdecimal():
        raise invalid(f"page_token {token[:100]!r} was not handed out for this tree")
    return Digest(hash_, int(size), root.function)


def _seal(scope: str, name: str) -> str:
    # No secret: a token opens nothing that its bearer could not read anyway, and it must hold after a restart.
    return hashlib.blake2s(f"{scope}\0{name}".encode("utf-8", "replace"), digest_size=12).hexdigest()

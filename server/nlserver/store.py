"""What a store is. The kinds stand in `stores/`, one a file, named after their JSON5 tag.

A store keeps values under keys: blobs under digests, and other values (action results, origin events) under the
digest of an action or a free string. It is told keys and bytes, knows no wire, and is never asked to hash: whoever
takes bytes from outside wraps them in `verified.verified` first.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol, cast, runtime_checkable

from nlserver import fs
from nlserver.errors import Code, Error, invalid
from nlserver.eviction import Eviction, EvictionPolicy, Held
from nlserver.reapi.digest import Digest
from nlserver.spec import Site, Spec
from nlserver.streams import CHUNK_BYTES, Chunks, gather, once

Key = Digest | str
"""The name of a value: a Digest, or a free string for values that are no blobs."""


def is_empty(key: Key) -> bool:
    """Whether this names the blob of no bytes, which is always present and never kept."""
    return isinstance(key, Digest) and key.size_bytes == 0


class Missing(Error):
    """Values are not in a store: NOT_FOUND, with the keys and the store's own words."""

    def __init__(self, *keys: Key, message: str = "") -> None:
        super().__init__(
            Code.NOT_FOUND,
            message or f"{', '.join(map(str, keys))} not found",
            missing=[key.subject for key in keys if isinstance(key, Digest)],
        )
        self.keys = keys


class StoreSpec(Spec, kinds="nlserver.stores"):
    """A store, by its kind: an object with exactly one key, the kind's name."""

    solitary: ClassVar[str] = ""
    """What this kind keeps to one process, as a phrase ("keeps values in ..."); empty where processes may share it."""

    def build(self, site: Site) -> Store:
        """Make the store. Raises Error FAILED_PRECONDITION where it cannot be."""
        raise NotImplementedError


class Store(ABC):
    """Values under keys. All methods may be called concurrently, also for one key.

    The empty blob is always present and readable and is never kept (REAPI v2, FindMissingBlobs): kinds that hold
    bytes treat a Digest of 0 bytes so.
    """

    keeps_values: ClassVar[bool] = True
    """False where nothing that is written can ever be read."""

    @abstractmethod
    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """For each key, in order, the bytes held for it at this layer, or None when absent.

        The number may differ from the digest's where a layer stores another form (compression). Being asked for
        counts as use: what is present is evicted later (REAPI v2, FindMissingBlobs).
        """

    @abstractmethod
    def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset`, at most `limit` of them, in chunks of about `streams.CHUNK_BYTES`.

        Raises Missing before the first chunk when absent; an error later means the value was lost while reading.
        An offset at or past the end gives no bytes.
        """

    @abstractmethod
    async def write(self, key: Key, chunks: Chunks) -> None:
        """Keep a value, whole or not at all: an error of the stream, or cancelling, leaves nothing behind.

        On return the value is as durable as this kind promises and visible to every reader. A store may stop
        pulling when it already has a blob under a Digest. Raises Error RESOURCE_EXHAUSTED when there is no room.
        """

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """The whole value in one piece, for values known to be small. Raises Missing, or Error past `most` bytes."""
        return await gather(self.read(key), most)

    async def put(self, key: Key, data: bytes) -> None:
        """Keep a small value."""
        await self.write(key, once(data))

    async def write_file(self, key: Key, path: Path) -> None:
        """Keep the content of a file. The file must not change afterwards: a store may keep it by hard link."""
        await self.write(key, file_chunks(path))

    async def remove(self, key: Key) -> bool:
        """Forget a value; False when it was absent. Raises Error UNIMPLEMENTED where a kind cannot."""
        raise Error(Code.UNIMPLEMENTED, f"{type(self).__name__} cannot remove values")

    def children(self) -> Mapping[str, Store]:
        """The stores below this one by their config key: health, metrics and tracing walk this tree."""
        return {}

    def facts(self) -> Mapping[str, str]:
        """What operators are told of this layer besides its kind: its directories, its endpoints. No secrets."""
        return {}

    async def check(self) -> None:
        """Raise Error when this store by itself is unable to serve (health). Must answer within a second or so."""


class Wrapper(Store):
    """A store that forwards to another; a decorator overrides what it changes."""

    def __init__(self, backend: Store) -> None:
        self.backend = backend

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """As the backend."""
        return await self.backend.sizes(keys)

    def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """As the backend."""
        return self.backend.read(key, offset, limit)

    async def write(self, key: Key, chunks: Chunks) -> None:
        """As the backend."""
        await self.backend.write(key, chunks)

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """As the backend."""
        return await self.backend.get(key, most)

    async def put(self, key: Key, data: bytes) -> None:
        """As the backend."""
        await self.backend.put(key, data)

    async def write_file(self, key: Key, path: Path) -> None:
        """As the backend."""
        await self.backend.write_file(key, path)

    async def remove(self, key: Key) -> bool:
        """As the backend."""
        return await self.backend.remove(key)

    def children(self) -> Mapping[str, Store]:
        """The backend."""
        return {"backend": self.backend}


@runtime_checkable
class LocalFiles(Protocol):
    """A store whose blobs are files of this machine, so that a worker can hard-link its inputs."""

    def link(self, digest: Digest, to: str, *, executable: bool, dir_fd: int | None = None) -> bool:
        """Make `to` a read-only file with this blob's bytes that shares its disk space; False when the blob is absent.

        Blocking, a few tens of microseconds: call it in a thread for a whole directory. The link has no write
        permission, but its owner may change that: whoever lends it looks at it afterwards. Raises OSError when `to`
        exists or cannot be made.
        """
        ...

    async def remove(self, key: Digest) -> bool:
        """Forget a blob, such as one that was changed through a link; False when it was absent."""
        ...


class WorkerStore(Protocol):
    """What a worker needs of its `cas_fast_slow_store`: a fast tier of local files, filled on demand."""

    @property
    def local(self) -> LocalFiles:
        """The fast tier."""
        ...

    async def localize(self, digests: Sequence[Digest]) -> None:
        """Bring these blobs into the fast tier.

        Raises Missing (with the text that NativeLink's users know) naming every blob that neither tier has.
        """
        ...


@runtime_checkable
class Chunked(Protocol):
    """A store that can say of which chunks, which are blobs of the same store, its blobs are made (REAPI v2)."""

    async def split(self, blob: Digest) -> list[Digest]:
        """The chunks of a blob, in order, all of them present; none when it is not to be split. Raises Missing."""
        ...

    async def splice(self, blob: Digest, chunks: Sequence[Digest], *, by_content: bool) -> None:
        """Keep the blob that these chunks make; `by_content` says that they were cut as announced.

        Raises Missing for absent chunks, Error INVALID_ARGUMENT when they do not make the blob.
        """
        ...


@runtime_checkable
class Counted(Protocol):
    """A store that knows how much it holds."""

    @property
    def policy(self) -> EvictionPolicy:
        """Its limits."""
        ...

    def held(self) -> Held | None:
        """How much it holds; None before anybody has counted."""
        ...


class Entry(NamedTuple):
    """One value of a listing: the key as text, the bytes held for it, when it was last used (seconds since 1970)."""

    key: str
    size: int
    used: float


@runtime_checkable
class Listed(Protocol):
    """A store that can tell what it holds."""

    def entries(self, prefix: str = "") -> AsyncGenerator[Sequence[Entry], None]:
        """All values whose key begins so, in no order, some at a time. What comes or goes meanwhile may be missed."""
        ...


@runtime_checkable
class Journalled(Protocol):
    """A store that records what it evicts."""

    def evictions(self, prefix: str = "") -> AsyncGenerator[Sequence[Eviction], None]:
        """What is recorded of keys that begin so, oldest first, some at a time."""
        ...


def store_named(site: Site, name: str) -> Store:
    """The root store of this name; see `Site.named`."""
    return cast(Store, site.named("store", name))


async def expect_no_bytes(key: Key, chunks: Chunks) -> None:
    """Pull what is written under the empty digest. Raises Error INVALID_ARGUMENT when there is any byte."""
    async for chunk in chunks:
        raise invalid(f"{key} names the empty blob, but {len(chunk)} bytes or more were sent")


async def file_chunks(path: Path) -> AsyncGenerator[bytes, None]:
    """The bytes of a file in chunks, read in a thread."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while chunk := await fs.in_thread(os.read, fd, CHUNK_BYTES):
            yield chunk
    finally:
        os.close(fd)

"""A memory of what a slow store has."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nlserver.clock import Clock
from nlserver.eviction import UNBOUNDED, EvictionPolicy, LeastRecent
from nlserver.reapi.digest import Digest
from nlserver.spec import Site
from nlserver.store import Key, Missing, Store, StoreSpec, Wrapper
from nlserver.streams import Chunks, closing

_TRUSTED_SECONDS: Final = 60
_MOST_KEYS: Final = 200_000
"""Remembering so many takes about 60 MB."""


@dataclass(frozen=True, kw_only=True)
class ExistenceCacheSpec(StoreSpec, tag="existence_cache"):
    """Remembers which blobs its backend has, so that it is asked less often.

    What the backend said is believed for a minute at most: a backend may lose a blob without a word, and evicts first
    what nobody asked it for. What it does not have is not remembered. Writes and reads always go to the backend.
    """

    backend: StoreSpec
    """The store that has the blobs."""
    eviction_policy: EvictionPolicy | None = None
    """How much is remembered, and with `max_seconds` below 60 for how long; `max_bytes` counts the sizes of the blobs,
    not of their names. Without `max_count` it is 200000 blobs."""

    def build(self, site: Site) -> Store:
        """A wrapper around the backend."""
        return ExistenceCache(self.backend.build(site), self.eviction_policy or UNBOUNDED, site.clock)


class ExistenceCache(Wrapper):
    """Answers `sizes` from memory where the backend said so a short time ago."""

    def __init__(self, backend: Store, policy: EvictionPolicy, clock: Clock) -> None:
        super().__init__(backend)
        self._clock = clock
        self._recency: LeastRecent[Key] = LeastRecent(
            dataclasses.replace(
                policy,
                max_seconds=min(policy.max_seconds or _TRUSTED_SECONDS, _TRUSTED_SECONDS),
                max_count=policy.max_count or _MOST_KEYS,
            )
        )
        self._sizes: dict[Key, int] = {}
        self._asking: dict[object, set[Key]] = {}
        """The keys that changed since a question that is still under way."""

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """As the backend says, or said less than a minute ago."""
        self._evict()
        found: dict[Key, int | None] = {key: self._sizes.get(key) for key in keys}
        if unknown := [key for key, size in found.items() if size is None]:
            found.update(zip(unknown, await self._asked(unknown), strict=True))
        return [found[key] for key in keys]

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """As the backend; what turns out to be missing is forgotten."""
        try:
            async with closing(self.backend.read(key, offset, limit)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Missing:
            self._forget(key)
            raise

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """As the backend; what turns out to be missing is forgotten."""
        try:
            return await self.backend.get(key, most)
        except Missing:
            self._forget(key)
            raise

    async def write(self, key: Key, chunks: Chunks) -> None:
        """As the backend."""
        with self._changing(key):
            await self.backend.write(key, chunks)

    async def put(self, key: Key, data: bytes) -> None:
        """As the backend."""
        with self._changing(key):
            await self.backend.put(key, data)

    async def write_file(self, key: Key, path: Path) -> None:
        """As the backend."""
        with self._changing(key):
            await self.backend.write_file(key, path)

    async def remove(self, key: Key) -> bool:
        """As the backend."""
        with self._changing(key):
            return await self.backend.remove(key)

    async def _asked(self, keys: Sequence[Key]) -> list[int | None]:
        """What the backend says, remembered unless it changed meanwhile."""
        question, changed = object(), set[Key]()
        self._asking[question] = changed
        try:
            sizes = await self.backend.sizes(keys)
        finally:
            del self._asking[question]
        now = self._clock.monotonic()
        for key, size in zip(keys, sizes, strict=True):
            if size is not None and key not in changed:
                self._recency.put(key, key.size_bytes if isinstance(key, Digest) else size, now)
                self._sizes[key] = size
        self._evict()
        return sizes

    @contextmanager
    def _changing(self, key: Key) -> Iterator[None]:
        try:
            yield
        finally:
            self._forget(key)

    def _forget(self, key: Key) -> None:
        self._recency.remove(key)
        self._sizes.pop(key, None)
        for changed in self._asking.values():
            changed.add(key)

    def _evict(self) -> None:
        for victim in self._recency.evict(self._clock.monotonic()):
            del self._sizes[victim.key]

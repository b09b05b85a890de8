"""A store of which is counted what was there, what was not, and how many bytes passed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from nlserver import metrics
from nlserver.metrics import CacheCount
from nlserver.reapi.digest import Digest
from nlserver.spec import Site, Text
from nlserver.store import Chunked, Key, LocalFiles, Missing, Store, StoreSpec, Wrapper
from nlserver.streams import Chunks


@dataclass(frozen=True, kw_only=True)
class CacheMetricsSpec(StoreSpec, tag="cache_metrics"):
    """The backend, with counts of hits, misses and bytes under the name `cache_type`: see `nlctl metrics`.

    At most 16 different types are counted in one process; stores of one type are counted together.
    """

    cache_type: Text
    """What the metrics call this store."""
    backend: StoreSpec
    """The store."""

    def build(self, site: Site) -> Store:
        """The backend with counts around it, which can do what fast tiers and chunking ask of it.

        One that keeps nothing is not counted: what is to use it must be able to tell.
        """
        backend, place = self.backend.build(site), metrics.cache(self.cache_type)
        if not backend.keeps_values:
            return backend
        if isinstance(backend, LocalFiles):
            return CountedFiles(backend, place, backend)
        return CountedChunks(backend, place, backend) if isinstance(backend, Chunked) else CacheMetrics(backend, place)


class CacheMetrics(Wrapper):
    """Counts from `place` on. Being asked for sizes is a look-up of each key, as reading is."""

    def __init__(self, backend: Store, place: int) -> None:
        super().__init__(backend)
        self._place = place

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """A hit for each that is present, a miss for each that is not."""
        held = await self.backend.sizes(keys)
        absent = held.count(None)
        self._count(CacheCount.HITS, len(held) - absent)
        self._count(CacheCount.MISSES, absent)
        return held

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """A hit with its first chunk or its end."""
        found = False
        try:
            async with aclosing(self.backend.read(key, offset, limit)) as chunks:
                async for chunk in chunks:
                    self._found(found, len(chunk))
                    found = True
                    yield chunk
        except Missing:
            self._count(CacheCount.MISSES, not found)
            raise
        self._found(found, 0)

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """As reading."""
        try:
            data = await self.backend.get(key, most)
        except Missing:
            self._count(CacheCount.MISSES)
            raise
        self._found(False, len(data))
        return data

    async def write(self, key: Key, chunks: Chunks) -> None:
        """Bytes count as they are pulled, the value when it is kept."""
        async with aclosing(self._passing(chunks)) as passing:
            await self.backend.write(key, passing)
        self._count(CacheCount.WRITES)

    async def put(self, key: Key, data: bytes) -> None:
        """As writing."""
        await self.backend.put(key, data)
        self._count(CacheCount.WRITES)
        self._count(CacheCount.WRITTEN_BYTES, len(data))

    async def write_file(self, key: Key, path: Path) -> None:
        """As writing; a file that is linked counts with its size."""
        size = path.stat().st_size
        await self.backend.write_file(key, path)
        self._count(CacheCount.WRITES)
        self._count(CacheCount.WRITTEN_BYTES, size)

    async def remove(self, key: Key) -> bool:
        """Counted when it was there."""
        removed = await self.backend.remove(key)
        self._count(CacheCount.REMOVALS, removed)
        return removed

    def _found(self, before: bool, size: int) -> None:
        self._count(CacheCount.HITS, not before)
        self._count(CacheCount.READ_BYTES, size)

    async def _passing(self, chunks: Chunks) -> AsyncGenerator[bytes, None]:
        async for chunk in chunks:
            self._count(CacheCount.WRITTEN_BYTES, len(chunk))
            yield chunk

    def _count(self, which: CacheCount, amount: int = 1) -> None:
        metrics.count(self._place + which, amount)


class CountedFiles(CacheMetrics):
    """Over files of this machine, which workers may link."""

    def __init__(self, backend: Store, place: int, files: LocalFiles) -> None:
        super().__init__(backend, place)
        self._files = files

    def link(self, digest: Digest, to: str, *, executable: bool, dir_fd: int | None = None) -> bool:
        """As the backend, uncounted: this runs in a thread, and the blob was looked up before."""
        return self._files.link(digest, to, executable=executable, dir_fd=dir_fd)


class CountedChunks(CacheMetrics):
    """Over a store that knows chunks."""

    def __init__(self, backend: Store, place: int, chunked: Chunked) -> None:
        super().__init__(backend, place)
        self._chunked = chunked

    async def split(self, blob: Digest) -> list[Digest]:
        """As the backend."""
        return await self._chunked.split(blob)

    async def splice(self, blob: Digest, chunks: Sequence[Digest], *, by_content: bool) -> None:
        """As the backend."""
        await self._chunked.splice(blob, chunks, by_content=by_content)

"""Values as files of a directory. The directory is the database: processes and workers may share it."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self, TypeVar

from nlserver import fs, log
from nlserver.errors import Code, Error
from nlserver.eviction import UNBOUNDED, Eviction, EvictionPolicy, Held
from nlserver.filesystem import journal, links
from nlserver.filesystem.batches import Batches
from nlserver.filesystem.census import listed
from nlserver.filesystem.commits import Commits
from nlserver.filesystem.directory import Directory
from nlserver.filesystem.incoming import Incoming
from nlserver.filesystem.limits import Limits
from nlserver.filesystem.reading import Reader
from nlserver.reapi.digest import Digest
from nlserver.spec import U32, Number, Site, Size, Text, key
from nlserver.store import Entry, Key, Missing, Store, StoreSpec, expect_no_bytes, is_empty
from nlserver.streams import CHUNK_BYTES, Chunks, closing, gather, once

T = TypeVar("T")
_LISTED_AT_ONCE: Final = 1000
_INLINE_KEYS: Final = 64
"""So many files are looked up on the event loop; more are for a thread."""
_FLUSH_SECONDS: Final = 2.0
_TIDY_SECONDS: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class FilesystemSpec(StoreSpec, tag="filesystem"):
    """Keeps values as files, durable before they are acknowledged. Several processes may share the directories."""

    content_path: Text
    """Directory of the values: `d/{hash}-{size}` and `s/{key}`. Executable copies for workers stand in
    `{content_path}.exec`, and what was evicted and why in `{content_path}.journal`."""
    temp_path: Text
    """Directory of values that are still being written; on the same file system as `content_path`."""
    read_buffer_size: Size = key(zero=32 << 10, most=U32)
    """The least that is read at once. Reads use chunks of 1 MiB where this is less."""
    eviction_policy: EvictionPolicy | None = None
    """Limits; without them nothing is ever evicted."""
    block_size: Size = key(zero=4096)
    """A file counts for its size rounded up to whole blocks of this many bytes."""
    max_concurrent_writes: Number = 0
    """So many files at a time are brought to the disk (fsync); 0 means as many as come."""
    evict_page_cache: bool = False
    """Tell the kernel after writing and reading that it need not keep the file in memory."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """The two directories must differ."""
        if os.path.normpath(values.content_path) == os.path.normpath(values.temp_path):
            return ["content_path and temp_path must be two directories"]
        return []

    def build(self, site: Site) -> Store:
        """Open the directories, which are made where absent. Raises Error FAILED_PRECONDITION where they cannot be."""
        try:
            directory = self._directory(site)
        except OSError as failure:
            raise Error(
                Code.FAILED_PRECONDITION,
                f"the filesystem store cannot use its directories: {failure.strerror or failure}",
                where=str(failure.filename or self.content_path),
                remedy="make the directory writable for this process, or choose another",
            ) from failure
        store = Filesystem(directory, self)
        site.spawn(store.maintain(), f"filesystem {self.content_path}")
        site.on_close(store.close)
        return store

    def _directory(self, site: Site) -> Directory:
        return Directory(
            self.content_path,
            self.temp_path,
            self.eviction_policy or UNBOUNDED,
            self.block_size,
            site.clock,
            keep_cached=not self.evict_page_cache,
        )


class Filesystem(Store):
    """Values in a directory; implements `store.LocalFiles`.

    A value exists if and only if its file stands under its final name, where it is never changed. Limits are passed
    by no more than what is being written at the moment: a writer returns when they hold again.
    """

    def __init__(self, directory: Directory, spec: FilesystemSpec) -> None:
        self._directory = directory
        self._keep_cached = not spec.evict_page_cache
        self._limits = Limits(directory)
        self._reader = Reader(max(CHUNK_BYTES, spec.read_buffer_size))
        self._flushed = fs.Grouped(directory.recency.flush)
        files = max(16, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        self._readers = asyncio.Semaphore(files)
        self._writers = asyncio.Semaphore(files)
        self._syncs = asyncio.Semaphore(spec.max_concurrent_writes or files)
        self._commits = Commits(directory, self._syncs)

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """Bytes of each file. What is present is marked as used before this answers, for other processes too."""
        if len(keys) <= _INLINE_KEYS:
            sizes, noted = self._directory.sizes(keys)
        else:
            sizes, noted = await fs.in_thread(self._directory.sizes, keys)
        if noted:
            await self._flushed.done()
        return sizes

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes of the file as it was when reading began, though it be replaced or evicted meanwhile."""
        if is_empty(key):
            return
        async with self._readers:
            fd, size = self._open(key)
            try:
                end = size if limit is None else min(size, offset + limit)
                async with closing(self._reader.pieces(fd, offset, end)) as pieces:
                    async for piece in pieces:
                        yield piece
            finally:
                self._close(fd)

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """The whole file; a small one that is in memory anyway costs neither a thread nor a turn of the loop."""
        if is_empty(key):
            return b""
        if (data := self._at_once(key, most)) is not None:
            return data
        async with self._readers:
            fd, size = self._open(key)
            try:
                if size > most:
                    raise Error(Code.RESOURCE_EXHAUSTED, f"{key} has {size} bytes, more than the {most} asked for")
                async with closing(self._reader.pieces(fd, 0, size)) as pieces:
                    return await gather(pieces, size)
            finally:
                self._close(fd)

    async def write(self, key: Key, chunks: Chunks) -> None:
        """Keep a value; on return it is on the disk under its name."""
        async with Batches(chunks) as batches:
            if is_empty(key):
                await expect_no_bytes(key, chunks)
                return
            # No file is opened for a stream that has sent nothing yet.
            first = await batches.pull()
            async with self._writers:
                await self._receive(key, first, batches)

    async def put(self, key: Key, data: bytes) -> None:
        """Keep a small value, made durable together with others that come at the same time."""
        if is_empty(key):
            await expect_no_bytes(key, once(data))
            return
        self._directory.refuse(key, len(data))
        await self._keep(key, [data], self._directory.incoming())

    async def write_file(self, key: Key, path: Path) -> None:
        """Keep a copy of the file, which shares its blocks where the file system can; the file itself stays free."""
        if is_empty(key):
            return
        async with self._writers:
            incoming = self._directory.incoming()
            try:
                with fs.failing(f"copying {path} into the store"):
                    await fs.in_thread(self._copy, key, path, incoming)
                    await self._sync(incoming)
            except BaseException:
                await fs.in_thread(incoming.discard)
                raise
            await self._keep(key, [], incoming)

    async def remove(self, key: Key) -> bool:
        """Remove the file and its executable twin."""
        if is_empty(key):
            return False
        with fs.failing(f"removing {self._directory.layout.path(key)}"):
            return await fs.in_thread(self._directory.remove, key)

    async def check(self) -> None:
        """Raise Error UNAVAILABLE when the directory does not answer within a second, is gone, or cannot be written."""
        path = self._directory.layout.directories[0]
        try:
            async with asyncio.timeout(1):
                # Not `in_thread`, which would wait for the thread that hangs.
                usable = await asyncio.to_thread(os.access, path, os.W_OK | os.X_OK)
        except TimeoutError:
            raise Error(Code.UNAVAILABLE, "the file system does not answer", where=path) from None
        if not usable:
            raise Error(Code.UNAVAILABLE, "the directory is gone or cannot be written", where=path)

    def link(self, digest: Digest, to: str, *, executable: bool, dir_fd: int | None = None) -> bool:
        """Hard-link the blob's file, or its executable twin. See `store.LocalFiles` and `filesystem.links`.

        A process with root's capabilities may write to any file: actions that are not trusted must not run as root.
        """
        return links.link(self._directory, digest, to, executable=executable, dir_fd=dir_fd)

    @property
    def policy(self) -> EvictionPolicy:
        """Its limits."""
        return self._directory.policy

    def held(self) -> Held | None:
        """As all processes that share the directories have counted; unknown where there are no limits."""
        return self._directory.usage.read() if self._directory.usage is not None else None

    def facts(self) -> Mapping[str, str]:
        """Its directories."""
        layout = self._directory.layout
        return {"content_path": layout.content, "temp_path": self._directory.temp, "journal": layout.journal}

    async def entries(self, prefix: str = "") -> AsyncGenerator[Sequence[Entry], None]:
        """All files, as the directories give them."""
        async with aclosing(_in_threads(lambda: listed(self._directory.layout, prefix))) as batches:
            async for batch in batches:
                yield batch

    async def evictions(self, prefix: str = "") -> AsyncGenerator[Sequence[Eviction], None]:
        """What all processes that share the directories have evicted, as far as the journal goes back."""
        async with aclosing(_in_threads(lambda: journal.read(self._directory.layout.journal, prefix))) as batches:
            async for batch in batches:
                yield batch

    async def maintain(self) -> None:
        """Keep house until cancelled: mark uses, finish passes, let values expire, clear away what the dead left."""
        clock = self._directory.clock
        tidy_at = clock.monotonic()
        while True:
            try:
                if clock.monotonic() >= tidy_at:
                    tidy_at = clock.monotonic() + _TIDY_SECONDS
                    await fs.in_thread(self._directory.tidy)
                await self.keep_house()
            except OSError as failure:
                log.warn("The store cannot be maintained", path=self._directory.layout.content, reason=str(failure))
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await self._limits.unfinished.wait()

    async def keep_house(self) -> None:
        """Mark uses on the disk, and evict until no limit is broken."""
        await self._flushed.done()
        await self._limits.finish()

    async def close(self) -> None:
        """Mark the last uses, and remove this store's temporary files."""
        await self._limits.close()
        await fs.in_thread(self._directory.close)

    def _at_once(self, key: Key, most: int) -> bytes | None:
        """The file if it is small and in memory; closed again before anything else runs, so no semaphore counts it."""
        fd, size = self._open(key)
        try:
            return self._reader.at_once(fd, size) if size <= most else None
        finally:
            self._close(fd)

    def _open(self, key: Key) -> tuple[int, int]:
        directory = self._directory
        path = directory.layout.path(key)
        try:
            fd = fs.open_to_read(path)
        except (FileNotFoundError, NotADirectoryError):
            raise Missing(key) from None
        except OSError as failure:
            raise fs.error_of(failure, f"reading {path}") from failure
        status = os.fstat(fd)
        now = directory.clock.wall()
        if not directory.serves(status, now):
            os.close(fd)
            raise Missing(key)
        directory.recency.use(path, status.st_atime, now)
        return fd, status.st_size

    def _close(self, fd: int) -> None:
        if not self._keep_cached:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)

    async def _receive(self, key: Key, batch: list[bytes], batches: Batches) -> None:
        incoming = self._directory.incoming()
        writing: asyncio.Task[None] | None = None
        total = sum(map(len, batch))
        try:
            # One batch is written while the next one comes.
            while not batches.ended:
                self._directory.refuse(key, total)
                writing = asyncio.create_task(_append(incoming, batch))
                batch = await batches.pull()
                total += sum(map(len, batch))
                with fs.failing(self._writing(key)):
                    await writing
            self._directory.refuse(key, total)
            if writing is not None:
                # A large file would make the small ones of its group wait.
                with fs.failing(self._writing(key)):
                    await fs.in_thread(incoming.append, batch)
                    await self._sync(incoming)
        except BaseException:
            if writing is not None:
                await fs.settled(writing)
            await fs.in_thread(incoming.discard)
            raise
        await self._keep(key, batch, incoming)

    async def _sync(self, incoming: Incoming) -> None:
        async with self._syncs:
            await fs.in_thread(incoming.finish)
            await fs.in_thread(incoming.sync)

    async def _keep(self, key: Key, parts: list[bytes], incoming: Incoming) -> None:
        with fs.failing(self._writing(key)):
            await self._commits.keep(key, parts, incoming)
            await self._limits.hold(incoming.size)

    def _copy(self, key: Key, path: Path, incoming: Incoming) -> None:
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._directory.refuse(key, os.fstat(source).st_size)
            incoming.copy(source)
        finally:
            os.close(source)

    def _writing(self, key: Key) -> str:
        return f"writing {self._directory.layout.path(key)}"


async def _append(incoming: Incoming, batch: list[bytes]) -> None:
    """Write a batch and let go of it, since the next one may be long in coming."""
    await fs.in_thread(incoming.append, batch)
    batch.clear()


async def _in_threads(begin: Callable[[], Iterator[T]]) -> AsyncGenerator[list[T], None]:
    """What a blocking iterator gives, some at a time."""
    items = begin()
    while batch := await fs.in_thread(lambda: list(islice(items, _LISTED_AT_ONCE))):
        yield batch

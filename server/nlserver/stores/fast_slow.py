"""A fast tier in front of a slow one that has everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest
from nlserver.spec import Site, Size
from nlserver.store import Key, LocalFiles, Missing, Store, StoreSpec, is_empty
from nlserver.streams import Chunks, closing, drain, gather, part
from nlserver.tiers.both import tolerated, write_both
from nlserver.tiers.branch import Branch
from nlserver.tiers.filling import Fill, Filling

_FOLLOW_SECONDS: Final = 60.0
"""How long a reader waits for a value that another one is bringing into the fast tier."""
_MOST_FILLS: Final = 256
"""With so many values on their way, further readers are served by the slow tier alone."""
_LOCALIZED_AT_ONCE: Final = 32


class Direction(StrEnum):
    """What a tier takes part in."""

    BOTH = "both"
    UPDATE = "update"
    GET = "get"
    READ_ONLY = "read_only"

    @property
    def takes_uploads(self) -> bool:
        """Whether uploads are written to the tier."""
        return self in (Direction.BOTH, Direction.UPDATE)

    @property
    def takes_misses(self) -> bool:
        """Whether values that were read from the other tier are kept in this one."""
        return self in (Direction.BOTH, Direction.GET)


@dataclass(frozen=True, kw_only=True)
class FastSlowSpec(StoreSpec, tag="fast_slow"):
    """Reads from `fast` where it has the value, else from `slow`, and keeps what came from there in `fast`.

    What is present is said by `slow` alone.
    """

    fast: StoreSpec
    """The first tier, asked first by reads."""
    slow: StoreSpec
    """The tier that has everything."""
    fast_direction: Direction = Direction.BOTH
    """`both`; `update`: uploads go there, but reads do not fill it; `get`: reads fill it, but uploads do not go there;
    `read_only`: neither."""
    slow_direction: Direction = Direction.BOTH
    """`both` or `update`: uploads go there; `get` or `read_only`: they do not."""
    bypass_dedup_threshold_bytes: Size = 0
    """Blobs of this size or more are read from `slow` by each reader for itself and not kept in `fast`; 0 is off."""

    def build(self, site: Site) -> Store:
        """The two tiers as one store."""
        store = FastSlow(self.fast.build(site), self.slow.build(site), self)
        site.on_close(store.close)
        return store


class FastSlow(Store):
    """Two tiers; implements `store.WorkerStore` where the fast one has local files."""

    def __init__(self, fast: Store, slow: Store, spec: FastSlowSpec) -> None:
        self._fast = fast
        self._slow = slow
        self._spec = spec
        self._filling = Filling(fast, slow)
        # Such a question takes as long as linking a file.
        self._local = fast if isinstance(fast, LocalFiles) else None

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """As the slow tier says, which has everything; a slow tier that keeps nothing leaves it to the fast one."""
        return await (self._slow if self._slow.keeps_values else self._fast).sizes(keys)

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """From the fast tier, or from the slow one while the fast one is filled with the whole value.

        Raises Missing with the text that NativeLink's users know.
        """
        if is_empty(key):
            return
        # Whoever wants no bytes only asks whether there are any.
        fills = [self._by_filling] if limit != 0 else []
        sources = [self._from_fast, *fills, self._from_slow]
        async with closing(_served(key, _Span(offset, limit), sources)) as pieces:
            async for piece in pieces:
                yield piece

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """As `read`, in one piece."""
        try:
            return await self._fast.get(key, most)
        except Missing:
            sources = (self._by_filling, self._from_slow)
            async with closing(_served(key, _Span(0, None), sources)) as pieces:
                return await gather(pieces, most)

    async def write(self, key: Key, chunks: Chunks) -> None:
        """To both tiers at once, or to the one that takes uploads. Fails when the slow tier fails."""
        match self._upload_tiers():
            case [slow, fast]:
                await write_both(fast, slow, key, chunks)
            case [only]:
                await only.write(key, chunks)
            case _:
                await drain(chunks)

    async def put(self, key: Key, data: bytes) -> None:
        """As `write`."""
        await self._to_each(key, lambda store: store.put(key, data))

    async def write_file(self, key: Key, path: Path) -> None:
        """To the slow tier first; then the fast one takes the file."""
        await self._to_each(key, lambda store: store.write_file(key, path))

    async def remove(self, key: Key) -> bool:
        """From both tiers."""
        in_fast = await self._fast.remove(key)
        return await self._slow.remove(key) or in_fast

    def children(self) -> Mapping[str, Store]:
        """The tiers."""
        return {"fast": self._fast, "slow": self._slow}

    @property
    def local(self) -> LocalFiles:
        """The fast tier. Raises Error FAILED_PRECONDITION where it has no files."""
        if self._local is not None:
            return self._local
        raise Error(
            Code.FAILED_PRECONDITION,
            f"a worker's fast tier must be a filesystem store, and this is {type(self._fast).__name__}",
            remedy="give cas_fast_slow_store a fast_slow store with `fast: {filesystem: {...}}`",
        )

    async def localize(self, digests: Sequence[Digest]) -> None:
        """Bring these blobs into the fast tier, each once, a few at a time. See `store.WorkerStore`."""
        wanted = [digest for digest in dict.fromkeys(digests) if not is_empty(digest)]
        sizes = await self._fast.sizes(wanted)
        absent = [digest for digest, size in zip(wanted, sizes, strict=True) if size is None]
        if absent and self._spec.fast_direction is Direction.READ_ONLY:
            raise Error(Code.FAILED_PRECONDITION, "the fast tier is read_only, so no input can be brought into it")
        failures: dict[Digest, Error] = {}
        left = iter(absent)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_LOCALIZED_AT_ONCE, len(absent))):
                group.create_task(self._bring_each(left, failures))
        for failure in failures.values():
            if not isinstance(failure, Missing):
                raise failure
        if failures:
            raise _missing(*(digest for digest in absent if digest in failures))

    async def close(self) -> None:
        """End all fills."""
        await self._filling.close()

    def _upload_tiers(self) -> list[Store]:
        tiers = ((self._slow, self._spec.slow_direction), (self._fast, self._spec.fast_direction))
        return [store for store, direction in tiers if store.keeps_values and direction.takes_uploads]

    async def _to_each(self, key: Key, give: Callable[[Store], Coroutine[Any, Any, None]]) -> None:
        for place, store in enumerate(self._upload_tiers()):
            if place == 0:
                await give(store)
            else:
                await tolerated(give(store), store, key)

    def _fills(self, key: Key) -> bool:
        threshold = self._spec.bypass_dedup_threshold_bytes
        bypasses = threshold and isinstance(key, Digest) and key.size_bytes >= threshold
        return self._fast.keeps_values and self._spec.fast_direction.takes_misses and not bypasses

    async def _from_fast(self, key: Key, span: _Span) -> AsyncGenerator[bytes, None]:
        began = span.offset
        try:
            async with closing(self._fast.read(key, span.offset, span.left)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Missing:
            if span.offset != began:
                raise
            return
        span.ended = True

    async def _from_slow(self, key: Key, span: _Span) -> AsyncGenerator[bytes, None]:
        try:
            async with closing(self._slow.read(key, span.offset, span.left)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Missing:
            raise _missing(key) from None
        span.ended = True

    async def _by_filling(self, key: Key, span: _Span) -> AsyncGenerator[bytes, None]:
        """Lead a fill or follow one; without a word when the slow tier had better be asked directly."""
        clock = asyncio.get_running_loop().time
        give_up = clock() + _FOLLOW_SECONDS
        while self._fills(key) and clock() < give_up:
            fill = self._filling.running(key)
            if leads := fill is None:
                if len(self._filling) >= _MOST_FILLS:
                    return
                live = Branch()
                fill = self._filling.start(key, live)
                async with closing(_lead(fill, live, span)) as pieces:
                    async for piece in pieces:
                        yield piece
                if span.ended:
                    return
            async with fill.wanted():
                if not await fill.ended(give_up - clock()):
                    return
            if fill.succeeded:
                async with closing(self._from_fast(key, span)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            if not _may_take_over(fill, key, leads=leads):
                return

    async def _bring_each(self, digests: Iterator[Digest], failures: dict[Digest, Error]) -> None:
        for digest in digests:
            if any(not isinstance(failure, Missing) for failure in failures.values()):
                return
            if (failure := await self._bring(digest)) is not None:
                failures[digest] = failure

    async def _bring(self, digest: Digest) -> Error | None:
        while True:
            fill = self._filling.running(digest)
            if fill is None and (await self._fast.sizes([digest]))[0] is not None:
                # Another action brought it over since this one looked.
                return None
            fill = self._filling.running(digest)
            if leads := fill is None:
                fill = self._filling.start(digest)
            async with fill.wanted():
                if leads:
                    await fill.ended()
                elif not await fill.ended_or_stalled(_FOLLOW_SECONDS):
                    self._filling.supersede(digest)
            if fill.succeeded:
                return None
            if leads or isinstance(fill.failure, Missing):
                return fill.failure or Error(Code.ABORTED, f"bringing {digest} into the fast tier was given up")


class _Span:
    """What is still to be read of a value; `ended` says that there is no more."""

    def __init__(self, offset: int, limit: int | None) -> None:
        self.offset = offset
        self.left = limit
        self.ended = False

    def took(self, piece: bytes) -> None:
        self.offset += len(piece)
        if self.left is not None:
            self.left -= len(piece)


_Source = Callable[[Key, _Span], AsyncGenerator[bytes, None]]


async def _served(key: Key, span: _Span, sources: Sequence[_Source]) -> AsyncGenerator[bytes, None]:
    """Each source goes on where the one before it had no more to give, until one reaches the end."""
    for source in sources:
        async with closing(source(key, span)) as pieces:
            async for piece in pieces:
                span.took(piece)
                yield piece
        if span.ended:
            return


async def _lead(fill: Fill, live: Branch, span: _Span) -> AsyncGenerator[bytes, None]:
    """The bytes as they pass on their way to the fast tier; the fill goes on when the span ends before the value."""
    async with fill.wanted():
        try:
            async for piece in part(live, span.offset, span.left):
                yield piece
        finally:
            live.close()
        span.ended = live.complete or span.left == 0


def _may_take_over(fill: Fill, key: Key, *, leads: bool) -> bool:
    """After a fill that failed: whether this reader may begin another. Raises what no other try would change."""
    if isinstance(fill.failure, Missing) and fill.is_slows_failure:
        raise _missing(key)
    if fill.failure is not None and leads and fill.is_slows_failure:
        raise fill.failure
    return not leads and (fill.failure is None or fill.is_slows_failure)


def _missing(*keys: Key) -> Missing:
    return Missing(
        *keys,
        message=f"Object {keys[0]} not found in either fast or slow store. If using multiple workers, "
        "ensure all workers share the same CAS storage path.",
    )

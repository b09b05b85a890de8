"""Values in the memory of this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import chain

from nlserver.clock import Clock
from nlserver.errors import Code, Error
from nlserver.eviction import UNBOUNDED, EvictionPolicy, Held, LeastRecent
from nlserver.spec import Site
from nlserver.store import Entry, Key, Missing, Store, StoreSpec, expect_no_bytes, is_empty
from nlserver.streams import CHUNK_BYTES, Chunks, once


@dataclass(frozen=True, kw_only=True)
class MemorySpec(StoreSpec, tag="memory"):
    """Keeps values in memory; they are gone when the process ends."""

    solitary = "keeps values in the memory of one process"

    eviction_policy: EvictionPolicy | None = None
    """Limits; without them memory is filled until the system runs out of it."""

    def build(self, site: Site) -> Store:
        """An empty store."""
        return Memory(self.eviction_policy or UNBOUNDED, site.clock)


class _Value:
    """Bytes in pieces of exactly CHUNK_BYTES, except the last: streams and ranges of large values copy nothing."""

    __slots__ = ("pieces", "size")

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.size = sum(map(len, pieces))


class Memory(Store):
    """Values in memory, bounded by an eviction policy.

    What cannot be held is refused: NativeLink drops it and reports success. Values on their way in may together take
    as much as `max_bytes` once more.
    """

    def __init__(self, policy: EvictionPolicy, clock: Clock) -> None:
        self.policy = policy
        self._clock = clock
        self._recency: LeastRecent[Key] = LeastRecent(policy)
        self._values: dict[Key, _Value] = {}
        self._arriving = 0

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """The bytes of each value."""
        return [0 if is_empty(key) else value.size if (value := self._used(key)) else None for key in keys]

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes of the value as it was when reading began."""
        value = self._present(key)
        end = value.size if limit is None else min(value.size, offset + limit)
        while offset < end:
            number, start = divmod(offset, CHUNK_BYTES)
            piece = value.pieces[number]
            stop = min(len(piece), start + end - offset)
            offset += stop - start
            yield piece if stop - start == len(piece) else piece[start:stop]

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """The whole value."""
        value = self._present(key)
        if value.size > most:
            raise Error(Code.RESOURCE_EXHAUSTED, f"{key} has {value.size} bytes, more than the {most} asked for")
        return value.pieces[0] if len(value.pieces) == 1 else b"".join(value.pieces)

    async def write(self, key: Key, chunks: Chunks) -> None:
        """Keep a value once its stream has ended well."""
        if is_empty(key):
            await expect_no_bytes(key, chunks)
            return
        arriving = _Arriving()
        try:
            async for chunk in chunks:
                self._refuse(key, arriving.size + len(chunk), self._arriving + len(chunk))
                self._arriving += len(chunk)
                arriving.add(chunk)
            self._keep(key, arriving.value())
        finally:
            self._arriving -= arriving.size

    async def put(self, key: Key, data: bytes) -> None:
        """Keep a value."""
        if len(data) > CHUNK_BYTES or is_empty(key):
            await self.write(key, once(data))
            return
        self._refuse(key, len(data), len(data))
        self._keep(key, _Value([data] if data else []))

    async def remove(self, key: Key) -> bool:
        """Forget a value."""
        return self._recency.remove(key) and self._values.pop(key, None) is not None

    def held(self) -> Held:
        """How much it holds."""
        return self._recency.held

    async def entries(self, prefix: str = "") -> AsyncGenerator[Sequence[Entry], None]:
        """All values, the least recent first."""
        since = self._clock.wall() - self._clock.monotonic()
        yield [
            Entry(str(key), size, since + used)
            for key, size, used in self._recency.entries()
            if str(key).startswith(prefix)
        ]

    def _keep(self, key: Key, value: _Value) -> None:
        now = self._clock.monotonic()
        self._recency.put(key, value.size, now)
        self._values[key] = value
        for victim in self._recency.evict(now):
            del self._values[victim.key]

    def _present(self, key: Key) -> _Value:
        if is_empty(key):
            return _Value([])
        value = self._used(key)
        if value is None:
            raise Missing(key)
        return value

    def _used(self, key: Key) -> _Value | None:
        if self._recency.use(key, self._clock.monotonic()):
            return self._values[key]
        self._values.pop(key, None)
        return None

    def _refuse(self, key: Key, size: int, arriving: int) -> None:
        if self.policy.refuses(size):
            raise Error(
                Code.RESOURCE_EXHAUSTED,
                f"{key} does not fit: it has {size} bytes or more, and the store must stay below "
                f"max_bytes = {self.policy.max_bytes}",
                remedy="raise eviction_policy.max_bytes",
            )
        if self.policy.refuses(arriving):
            raise Error(Code.RESOURCE_EXHAUSTED, f"no memory for {key} now: other values on their way in take it all")


class _Arriving:
    """A value on its way in, cut into pieces as it comes."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._last = bytearray()

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if not self._last and len(chunk) == CHUNK_BYTES:
            self._pieces.append(chunk)
            return
        self._last += chunk
        while len(self._last) >= CHUNK_BYTES:
            self._pieces.append(bytes(memoryview(self._last)[:CHUNK_BYTES]))
            del self._last[:CHUNK_BYTES]

    def value(self) -> _Value:
        return _Value(list(chain(self._pieces, [bytes(self._last)] if self._last else [])))

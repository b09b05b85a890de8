"""A store that is several: each key has one of them, which alone keeps its value."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from nlserver.reapi.parallel import each
from nlserver.store import Key, Store
from nlserver.streams import Chunks


class Partitioned(Store):
    """Gives each key to the store that has it. Kinds say which one that is, and name all of them as `children`."""

    @abstractmethod
    def home(self, key: Key) -> Store:
        """The store of this key, always the same one. Raises Error INVALID_ARGUMENT for keys that can have none."""

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """As each key's store says; the stores are asked at the same time, each once."""
        places: dict[Store, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(self.home(key), []).append(place)
        found: list[int | None] = [None] * len(keys)

        async def ask(store: Store) -> None:
            sizes = await store.sizes([keys[place] for place in places[store]])
            for place, size in zip(places[store], sizes, strict=True):
                found[place] = size

        await each(places, ask, len(places))
        return found

    def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """As the key's store."""
        return self.home(key).read(key, offset, limit)

    async def write(self, key: Key, chunks: Chunks) -> None:
        """As the key's store."""
        await self.home(key).write(key, chunks)

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """As the key's store."""
        return await self.home(key).get(key, most)

    async def put(self, key: Key, data: bytes) -> None:
        """As the key's store."""
        await self.home(key).put(key, data)

    async def write_file(self, key: Key, path: Path) -> None:
        """As the key's store."""
        await self.home(key).write_file(key, path)

    async def remove(self, key: Key) -> bool:
        """As the key's store."""
        return await self.home(key).remove(key)

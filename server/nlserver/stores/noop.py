"""The store that keeps nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nlserver.spec import Site
from nlserver.store import Key, Missing, Store, StoreSpec, is_empty
from nlserver.streams import Chunks, drain


@dataclass(frozen=True, kw_only=True)
class NoopSpec(StoreSpec, tag="noop"):
    """Accepts everything and keeps nothing: every look-up misses. It has no keys; what stands inside is ignored."""

    ignores_unknown: ClassVar[bool] = True

    def build(self, site: Site) -> Store:
        """The store that keeps nothing."""
        return Noop()


class Noop(Store):
    """Takes writes to their end and forgets them."""

    keeps_values: ClassVar[bool] = False

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """Absent, all but the empty blob."""
        return [0 if is_empty(key) else None for key in keys]

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """Raises Missing."""
        if not is_empty(key):
            raise Missing(key)
        nothing: tuple[bytes, ...] = ()
        for chunk in nothing:
            yield chunk

    async def write(self, key: Key, chunks: Chunks) -> None:
        """Pull the stream to its end, so that its errors are seen."""
        await drain(chunks)

    async def put(self, key: Key, data: bytes) -> None:
        """Forget the value."""

    async def write_file(self, key: Key, path: Path) -> None:
        """Forget the file."""

    async def remove(self, key: Key) -> bool:
        """Nothing is ever there."""
        return False

"""Where a worker reads Actions, Commands and Directories."""

from __future__ import annotations

from typing import Final, Protocol

from nlserver.reapi.digest import Digest, is_empty
from nlserver.store import Missing

_MOST_BYTES: Final = 16 << 20


class Source(Protocol):
    """A store that blobs are read from."""

    async def get(self, key: Digest, most: int = ...) -> bytes:
        """See `Store.get`."""
        ...


class Messages:
    """Messages by their digests, from the slow tier.

    Most are read once; directories that actions share are remembered by who reads them. As files of the fast tier each
    would cost a wait for the disk, which is more than it ever spares.
    """

    def __init__(self, slow: Source, both: Source) -> None:
        self._slow = slow
        self._both = both

    async def get(self, key: Digest, most: int = _MOST_BYTES) -> bytes:
        """The message. Raises Missing."""
        if is_empty(key):
            return b""
        try:
            return await self._slow.get(key, most)
        except Missing:
            # It may be in the fast tier alone, which also has the words for what is nowhere.
            return await self._both.get(key, most)

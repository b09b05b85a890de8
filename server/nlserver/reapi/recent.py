"""Small blobs that were read lately, in bounded memory. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Recent(Generic[K]):
    """Bytes by key. What was used least lately goes when they come to more than `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held: OrderedDict[K, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, key: K) -> bytes | None:
        """The bytes, which count as used now; None when they are not held."""
        data = self._held.get(key)
        if data is not None:
            self._held.move_to_end(key)
        return data

    def put(self, key: K, data: bytes) -> None:
        """Hold these bytes. A sixteenth of all memory is the most for one key: larger ones would push out too many."""
        if len(data) > self._most_bytes // 16:
            return
        self._bytes += len(data) - len(self._held.pop(key, b""))
        self._held[key] = data
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._held.popitem(last=False)[1])

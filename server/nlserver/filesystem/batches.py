"""A stream in batches that are worth a visit to a thread."""

from __future__ import annotations

from types import TracebackType
from typing import Final

from nlserver.streams import CHUNK_BYTES, Chunks

_MOST_PARTS: Final = 512


class Batches:
    """Chunks gathered to about CHUNK_BYTES; as a context manager it closes a stream that was not pulled to its end."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self.ended = False
        """Whether the batch pulled last was the last one."""

    async def pull(self) -> list[bytes]:
        """The next batch. The last one may be empty."""
        parts: list[bytes] = []
        total = 0
        async for chunk in self._chunks:
            parts.append(chunk)
            total += len(chunk)
            if total >= CHUNK_BYTES:
                return parts
            if len(parts) >= _MOST_PARTS:
                # An object for each byte of a hostile stream would take 50 times its memory.
                parts = [b"".join(parts)]
        self.ended = True
        return parts

    async def __aenter__(self) -> Batches:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close = getattr(self._chunks, "aclose", None)
        if not self.ended and close is not None:
            await close()

"""Uploads checked against their digest before the store below keeps them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from nlserver.errors import invalid
from nlserver.reapi.digest import Digest
from nlserver.spec import Flag, Site
from nlserver.store import Key, Store, StoreSpec, Wrapper, file_chunks
from nlserver.streams import OFF_LOOP_BYTES, Chunks, drain, once
from nlserver.verified import verified


@dataclass(frozen=True, kw_only=True)
class VerifySpec(StoreSpec, tag="verify"):
    """Checks what is written to the backend. Every upload by a client is checked anyway, with or without this store."""

    backend: StoreSpec
    """Where the values go."""
    verify_size: Flag = False
    """Refuse values whose size is not that of their digest."""
    verify_hash: Flag = False
    """Refuse values whose hash is not that of their digest; this checks the size as well."""

    def build(self, site: Site) -> Store:
        """A wrapper around the backend, or the backend itself where nothing is to be checked."""
        backend = self.backend.build(site)
        return Verify(backend, whole_hash=self.verify_hash) if self.verify_size or self.verify_hash else backend


class Verify(Wrapper):
    """Checks writes; reads pass. Free keys are refused, as nothing says what they name (NativeLink behaviour)."""

    def __init__(self, backend: Store, *, whole_hash: bool) -> None:
        super().__init__(backend)
        self._whole_hash = whole_hash

    async def write(self, key: Key, chunks: Chunks) -> None:
        """Raises Error INVALID_ARGUMENT when the stream is not what its digest says."""
        async with aclosing(self._checked(key, chunks)) as checked:
            await self.backend.write(key, checked)

    async def put(self, key: Key, data: bytes) -> None:
        """As `write`; small values are checked first and then kept in one piece."""
        if len(data) >= OFF_LOOP_BYTES:
            await self.write(key, once(data))
            return
        await drain(self._checked(key, once(data)))
        await self.backend.put(key, data)

    async def write_file(self, key: Key, path: Path) -> None:
        """As `write`; the file is read once more by the backend, which may keep it by its own means."""
        async with aclosing(file_chunks(path)) as chunks:
            await drain(self._checked(key, chunks))
        await self.backend.write_file(key, path)

    def _checked(self, key: Key, chunks: Chunks) -> AsyncGenerator[bytes, None]:
        if not isinstance(key, Digest):
            raise invalid(f"{key!r} is no digest, so there is nothing to verify its value against")
        return verified(chunks, key) if self._whole_hash else _sized(chunks, key)


async def _sized(chunks: Chunks, digest: Digest) -> AsyncGenerator[bytes, None]:
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > digest.size_bytes:
            raise invalid(f"Expected size {digest.size_bytes} but already received {total} on insert of {digest}")
        yield chunk
    if total != digest.size_bytes:
        raise invalid(f"Expected size {digest.size_bytes} but got size {total} on insert of {digest}")

"""Bytes from outside, checked against their digest while they move. Whoever takes uploads wraps them in `verified`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from nlserver.errors import invalid
from nlserver.reapi.digest import Digest, hasher
from nlserver.streams import OFF_LOOP_BYTES, Chunks


async def verified(chunks: Chunks, digest: Digest) -> AsyncGenerator[bytes, None]:
    """The same chunks, checked against their digest before the end of the stream is reported.

    Raises Error INVALID_ARGUMENT as soon as there are too many bytes, and at the end for too few bytes or another
    hash, so that a store that writes whole or not at all never keeps a wrong blob.
    """
    check = hasher(digest.function)
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > digest.size_bytes:
            raise invalid(f"Sent too much data. Expected {digest.size_bytes}, but so far received {total} for {digest}")
        if len(chunk) >= OFF_LOOP_BYTES:
            await asyncio.to_thread(check.update, chunk)
        else:
            check.update(chunk)
        yield chunk
    check_whole(digest, total, check.hexdigest())


def check_whole(digest: Digest, size: int, found: str) -> None:
    """Compare what came with what was declared. Raises Error INVALID_ARGUMENT."""
    if size != digest.size_bytes:
        raise invalid(f"Expected size {digest.size_bytes} but got size {size} on insert of {digest}")
    if found != digest.hash:
        raise invalid(
            f"Hash verification using {digest.function.name} failed: client declared {digest.hash}, "
            f"but the server computed {found}"
        )

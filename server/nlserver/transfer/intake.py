"""Whole blobs on their way into a store, and the check on their way out."""

from __future__ import annotations

import asyncio

from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest, of
from nlserver.store import Store
from nlserver.streams import OFF_LOOP_BYTES
from nlserver.verified import check_whole


async def put_verified(store: Store, digest: Digest, data: bytes) -> None:
    """Keep a blob that came in one piece. Raises Error INVALID_ARGUMENT when it is not what its digest says."""
    if len(data) != digest.size_bytes:
        check_whole(digest, len(data), "")
    made = (
        of(data, digest.function) if len(data) < OFF_LOOP_BYTES else await asyncio.to_thread(of, data, digest.function)
    )
    check_whole(digest, len(data), made.hash)
    if data:
        await store.put(digest, data)


def short(digest: Digest, sent: int) -> Error:
    """The store gave another number of bytes than the digest promises."""
    return Error(Code.DATA_LOSS, f"the stored blob {digest} has {sent} bytes: it is damaged")

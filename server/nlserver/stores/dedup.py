"""Blobs as content-defined chunks, so that what two of them have in common is kept once."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.spec import U32, Number, Size, Unavailable, key
from nlserver.store import StoreSpec


@dataclass(frozen=True, kw_only=True)
class DedupSpec(Unavailable, StoreSpec, tag="dedup"):
    """Cuts blobs into chunks (FastCDC) and keeps each chunk once. Not available yet."""

    instead = "Use what its content_store is, inside a compression store where space is short."

    index_store: StoreSpec
    """Keeps which chunks make which blob, under the blob's digest."""
    content_store: StoreSpec
    """Keeps the chunks, under the BLAKE3 of each."""
    min_size: Size = key(zero=64 << 10, most=U32)
    """Bytes of the smallest chunk."""
    normal_size: Size = key(zero=256 << 10, most=U32)
    """Bytes that chunks have on average."""
    max_size: Size = key(zero=512 << 10, most=U32)
    """Bytes of the largest chunk."""
    max_concurrent_fetch_per_get: Number = key(zero=10, most=U32)
    """Chunks fetched at a time for one blob."""

"""Small blobs here, large ones there."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.spec import Size, Unavailable
from nlserver.store import StoreSpec


@dataclass(frozen=True, kw_only=True)
class SizePartitioningSpec(Unavailable, StoreSpec, tag="size_partitioning"):
    """Chooses between two stores by the size in a blob's digest. Not available yet."""

    instead = "Use one filesystem store for every size."

    size: Size
    """Bytes from which on a blob is large."""
    lower_store: StoreSpec
    """Keeps blobs smaller than `size`."""
    upper_store: StoreSpec
    """Keeps the others."""

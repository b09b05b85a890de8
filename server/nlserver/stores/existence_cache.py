"""A memory of what a slow store has."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.eviction import EvictionPolicy
from nlserver.spec import Unavailable
from nlserver.store import StoreSpec


@dataclass(frozen=True, kw_only=True)
class ExistenceCacheSpec(Unavailable, StoreSpec, tag="existence_cache"):
    """Remembers which blobs its backend has, so that it is asked less often. Not available yet."""

    instead = "Use its backend itself."

    backend: StoreSpec
    """The store that has the blobs."""
    eviction_policy: EvictionPolicy | None = None
    """How much is remembered; `max_bytes` counts the sizes of the blobs, not of their names."""

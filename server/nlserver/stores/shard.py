"""Values spread over several stores by their keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from nlserver.spec import U32, Number, Spec, Unavailable, key
from nlserver.store import StoreSpec


@dataclass(frozen=True, kw_only=True)
class ShareSpec(Spec):
    """One of the stores and how much of everything it takes."""

    store: StoreSpec
    """The store."""
    weight: Number | None = key(most=U32)
    """Its part, in relation to the other weights; null means 1. The key must be there."""


@dataclass(frozen=True, kw_only=True)
class ShardSpec(Unavailable, StoreSpec, tag="shard"):
    """Chooses for every key one of several stores, always the same for the same key. Not available yet."""

    instead = "Use one store; several processes may share the directory of a filesystem store."

    stores: tuple[ShareSpec, ...]
    """The stores; their order must never change."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """Somebody must take what comes."""
        if not values.stores:
            return ["stores is empty: a shard store must have at least one store"]
        if all(share.weight == 0 for share in values.stores):
            return ["stores have no weight together: at least one must have more than 0"]
        return []

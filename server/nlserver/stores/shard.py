"""Values spread over several stores by their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from nlserver.partitioned import Partitioned
from nlserver.sharding import Shards
from nlserver.spec import U32, Number, Site, Spec, key
from nlserver.store import Key, Store, StoreSpec


@dataclass(frozen=True, kw_only=True)
class ShareSpec(Spec):
    """One of the stores and how much of everything it takes."""

    store: StoreSpec
    """The store."""
    weight: Number | None = key(most=U32)
    """Its part, in relation to the other weights; null means 1. The key must be there."""


@dataclass(frozen=True, kw_only=True)
class ShardSpec(StoreSpec, tag="shard"):
    """Chooses for every key one of several stores, always the same for the same key, as NativeLink does.

    Stores, weights and their order say where a value is: after a change of any of them most values are not found.
    """

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

    def build(self, site: Site) -> Store:
        """The stores as one."""
        weights = [1 if share.weight is None else share.weight for share in self.stores]
        return Shard([share.store.build(site) for share in self.stores], weights)


class Shard(Partitioned):
    """Several stores, each with its part of all keys."""

    def __init__(self, stores: Sequence[Store], weights: Sequence[int]) -> None:
        self._stores = stores
        self._shards = Shards(weights)

    def home(self, key: Key) -> Store:
        """By the hash and size of a digest, or by a hash of a free key."""
        return self._stores[self._shards.of(key)]

    def children(self) -> Mapping[str, Store]:
        """The stores by their places in the list."""
        return {f"stores[{number}]": store for number, store in enumerate(self._stores)}

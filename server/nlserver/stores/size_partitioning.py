"""Small blobs here, large ones there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nlserver.errors import invalid
from nlserver.partitioned import Partitioned
from nlserver.reapi.digest import Digest
from nlserver.spec import Site, Size
from nlserver.store import Key, Store, StoreSpec


@dataclass(frozen=True, kw_only=True)
class SizePartitioningSpec(StoreSpec, tag="size_partitioning"):
    """Chooses between two stores by the size in a blob's digest."""

    size: Size
    """Bytes from which on a blob is large."""
    lower_store: StoreSpec
    """Keeps blobs smaller than `size`."""
    upper_store: StoreSpec
    """Keeps the others."""

    def build(self, site: Site) -> Store:
        """The two stores as one."""
        return SizePartitioning(self.size, self.lower_store.build(site), self.upper_store.build(site))


class SizePartitioning(Partitioned):
    """Two stores; what is smaller than `size` is in the lower one. Free keys, which say no size, are refused."""

    def __init__(self, size: int, lower: Store, upper: Store) -> None:
        self._size = size
        self._lower = lower
        self._upper = upper

    def home(self, key: Key) -> Store:
        """By the size that the digest states."""
        if not isinstance(key, Digest):
            raise invalid(f"{key!r} is no digest, so a size_partitioning store cannot tell where its value belongs")
        return self._lower if key.size_bytes < self._size else self._upper

    def children(self) -> Mapping[str, Store]:
        """Both, by their config keys."""
        return {"lower_store": self._lower, "upper_store": self._upper}

"""Another name for a store of the config's `stores` list."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.spec import Site, Text
from nlserver.store import Store, StoreSpec, store_named


@dataclass(frozen=True, kw_only=True)
class RefStoreSpec(StoreSpec, tag="ref_store"):
    """The very store that has this name; it may be defined before or after."""

    name: Text
    """Name of an entry of `stores`."""

    def build(self, site: Site) -> Store:
        """The store itself. Raises Error FAILED_PRECONDITION for an unknown name, and for names in a circle."""
        return store_named(site, self.name)

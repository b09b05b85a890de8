"""Another name for a store, under which OpenTelemetry would count its hits and misses."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver import log
from nlserver.spec import Site, Text
from nlserver.store import Store, StoreSpec


@dataclass(frozen=True, kw_only=True)
class CacheMetricsSpec(StoreSpec, tag="cache_metrics"):
    """The backend itself. Nothing is counted: metrics by OpenTelemetry are not there yet, and a log line says so."""

    cache_type: Text
    """What the metrics call this store."""
    backend: StoreSpec
    """The store."""

    def build(self, site: Site) -> Store:
        """The backend."""
        log.warn("cache_metrics counts nothing yet", cache_type=self.cache_type)
        return self.backend.build(site)

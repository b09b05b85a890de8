"""A store whose hits and misses are counted."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.spec import Text, Unavailable
from nlserver.store import StoreSpec


@dataclass(frozen=True, kw_only=True)
class CacheMetricsSpec(Unavailable, StoreSpec, tag="cache_metrics"):
    """Passes everything through and counts it for OpenTelemetry. Not available yet."""

    instead = "Use its backend itself."

    cache_type: Text
    """What the metrics call this store."""
    backend: StoreSpec
    """The store."""

"""A list, on disk, of what an ONTAP bucket holds."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.cloud import OntapKeys
from nlserver.spec import U32, Number, Text, Unavailable, key
from nlserver.store import StoreSpec


@dataclass(frozen=True, kw_only=True)
class OntapExistenceSpec(Unavailable, StoreSpec, tag="ontap_s3_existence_cache"):
    """Answers whether blobs exist from a list of the bucket that is renewed at intervals. Not available yet."""

    instead = "Use a filesystem store, or a grpc store to a server that has the bucket."

    index_path: Text
    """File that keeps the list."""
    sync_interval_seconds: Number = key(most=U32)
    """Seconds between two listings of the bucket."""
    backend: OntapKeys
    """The bucket: the keys of `experimental_cloud_object_store` with provider `ontap`, without `provider`."""

"""ActionCache: results of actions under the digests of the actions (REAPI v2)."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.service import InstanceSpec
from nlserver.spec import Text


@dataclass(frozen=True, kw_only=True)
class AcSpec(InstanceSpec):
    """Serves the action results of a store to clients under an instance name."""

    instance_name: str = ""
    """The name that clients give as `instance_name`; empty is the default instance."""
    ac_store: Text
    """The store, by its name in `stores`; it must not hold blobs of a CAS as well."""
    read_only: bool = False
    """Refuse UpdateActionResult on this listener: only trusted machines, on another one, fill the cache."""

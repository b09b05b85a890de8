"""An action cache that answers only with results whose outputs are all there."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.spec import Unavailable
from nlserver.store import StoreSpec


@dataclass(frozen=True, kw_only=True)
class CompletenessCheckingSpec(Unavailable, StoreSpec, tag="completeness_checking"):
    """Hides action results of which an output is missing from the CAS. Not available yet."""

    instead = "Use its backend itself, and give the CAS more room than what one build needs."

    backend: StoreSpec
    """The action cache."""
    cas_store: StoreSpec
    """Where the outputs must be: usually a `ref_store`."""

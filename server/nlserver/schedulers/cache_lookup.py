"""A scheduler that looks into the action cache first."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.scheduler import SchedulerSpec
from nlserver.spec import Unavailable


@dataclass(frozen=True, kw_only=True)
class CacheLookupSpec(Unavailable, SchedulerSpec, tag="cache_lookup"):
    """Answers actions from the action cache and passes on what is not there. Not available yet."""

    instead = "Use its scheduler itself: clients ask the action cache before they execute."

    ac_store: str
    """The action cache, by its name in `stores`; taken literally."""
    scheduler: SchedulerSpec
    """Gets what is not there."""

"""Capabilities: what this listener can do for an instance (REAPI v2, GetCapabilities)."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.service import InstanceSpec
from nlserver.spec import Flag, Spec, Text


@dataclass(frozen=True, kw_only=True)
class RemoteExecutionSpec(Spec):
    """Announces that actions of this instance are executed."""

    scheduler: Text
    """The scheduler, by its name in `schedulers`; the platform properties it knows are announced."""


@dataclass(frozen=True, kw_only=True)
class CapabilitiesSpec(InstanceSpec):
    """What clients are told about an instance. An empty list announces a cache for every instance name."""

    instance_name: str = ""
    """The name that clients give as `instance_name`; empty is the default instance."""
    remote_execution: RemoteExecutionSpec | None = None
    """Announce execution; absent means cache only."""
    remote_cache_compression: Flag = False
    """Offer zstd for blobs on the wire."""

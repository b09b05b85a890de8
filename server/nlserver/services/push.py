"""Push: telling which blob a URL stands for (Remote Asset API)."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.service import InstanceSpec
from nlserver.spec import Text, Unavailable


@dataclass(frozen=True, kw_only=True)
class PushSpec(Unavailable, InstanceSpec):
    """Takes from clients which blob a URL stands for. Not available yet."""

    called = "the service push"
    instead = "Write `push: []`."

    instance_name: str = ""
    """The name that clients give as `instance_name`; empty is the default instance."""
    push_store: Text
    """Keeps what is known of URLs, by its name in `stores`."""
    read_only: bool = False
    """Refuse everything."""

"""Fetch: what the content of a URL is, by its digest (Remote Asset API)."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.service import InstanceSpec
from nlserver.spec import Text, Unavailable


@dataclass(frozen=True, kw_only=True)
class FetchSpec(Unavailable, InstanceSpec):
    """Answers which blob a URL stands for. Not available yet."""

    called = "the service fetch"
    instead = "Write `fetch: []`; clients then fetch by themselves."

    instance_name: str = ""
    """The name that clients give as `instance_name`; empty is the default instance."""
    fetch_store: Text
    """Keeps what is known of URLs, by its name in `stores`."""

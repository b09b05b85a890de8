"""ByteStream: single blobs of any size, readable from any offset, resumable when an upload breaks (REAPI v2)."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.service import InstanceSpec
from nlserver.spec import Seconds, Size, key
from nlserver.streams import CHUNK_BYTES


@dataclass(frozen=True, kw_only=True)
class ByteStreamSpec(InstanceSpec):
    """Serves the blobs of a store as streams under an instance name."""

    instance_name: str = ""
    """The name with which clients begin resource names; empty is the default instance."""
    cas_store: str
    """The store, by its name in `stores`; taken literally."""
    max_bytes_per_stream: Size = key(zero=CHUNK_BYTES)
    """The most bytes of a blob in one message to a client. Less than 1 MiB makes downloads slower."""
    persist_stream_on_disconnect_timeout_s: Seconds = key(zero=60, alias="persist_stream_on_disconnect_timeout")
    """How long an upload whose connection broke can be resumed."""

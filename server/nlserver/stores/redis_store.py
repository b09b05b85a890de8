"""Values in Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from nlserver.reapi.endpoint import RetrySpec
from nlserver.spec import Number, Text, Unavailable, key
from nlserver.store import StoreSpec


@dataclass(frozen=True, kw_only=True)
class RedisSpec(Unavailable, StoreSpec, tag="redis_store"):
    """Keeps values in Redis; keys that stand here and are unknown are ignored. Not available yet."""

    ignores_unknown = True
    instead = "Use a filesystem store, which several processes may share, or a memory store."

    addresses: tuple[Text, ...]
    """`redis://[USER:PASSWORD@]HOST:PORT[/DB]`, `rediss://` for TLS, `redis+sentinel://` for sentinels. More than one
    only in `cluster` mode."""
    mode: Literal["standard", "cluster", "sentinel"] = "standard"
    """How the servers work together."""
    key_prefix: Text = ""
    """Put in front of every key."""
    experimental_pub_sub_channel: str | None = None
    """Channel over which schedulers tell each other of changes; taken literally."""
    command_timeout_ms: Number = key(zero=10_000)
    """Milliseconds that a command may take."""
    connection_timeout_ms: Number | None = key(zero=None)
    """Milliseconds that a connection may take; 3000 unless stated."""
    health_check_timeout_ms: Number = key(zero=4000)
    """Milliseconds that a health check may take."""
    read_chunk_size: Number = key(zero=64 << 10)
    """Bytes of one read; an integer, no text such as "64kb"."""
    connection_pool_size: Number = key(zero=3)
    """Has no effect."""
    key_ttl_s: Number = 0
    """Seconds after which a written key expires; 0 means never."""
    max_chunk_uploads_per_update: Number = key(zero=10)
    """Chunks of one value on their way at a time."""
    scan_count: Number = key(zero=10_000)
    """How many keys one SCAN looks at."""
    max_client_permits: Number = key(zero=500)
    """Operations at a time."""
    max_count_per_cursor: Number = key(zero=1500)
    """Rows of one read of a search."""
    retry: RetrySpec = key(default_factory=RetrySpec)
    """How connecting is repeated: only `delay` (0.1 unless stated) and `max_retries` (1 unless stated) count."""
    response_timeout_s: int = 0
    """Has no effect; use `command_timeout_ms`."""
    connection_timeout_s: int = 0
    """Older form of `connection_timeout_ms`, in seconds."""
    broadcast_channel_capacity: Number = 0
    """Has no effect."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """Addresses fit the mode, and one connection timeout is given."""
        found = []
        if not values.addresses:
            found.append("addresses is empty: no addresses were specified in redis store configuration")
        if len(values.addresses) > 1 and values.mode != "cluster":
            found.append('addresses has more than one, which needs mode: "cluster"')
        if values.connection_timeout_s and values.connection_timeout_ms:
            found.append("connection_timeout_s and connection_timeout_ms are both set: keep connection_timeout_ms")
        return found

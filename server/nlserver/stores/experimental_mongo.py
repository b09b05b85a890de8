"""Values in MongoDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from nlserver.spec import U32, Flag, Number, Size, Text, Unavailable, key
from nlserver.store import StoreSpec


@dataclass(frozen=True, kw_only=True)
class MongoSpec(Unavailable, StoreSpec, tag="experimental_mongo"):
    """Keeps each value as a document of MongoDB, which limits it to 16 MB. Not available yet."""

    instead = "Use a filesystem store, which several processes may share."

    connection_string: Text
    """`mongodb://...` or `mongodb+srv://...`."""
    database: Text = key(zero="nativelink")
    """The database."""
    cas_collection: Text = key(zero="cas")
    """The collection of values."""
    scheduler_collection: Text = key(zero="scheduler")
    """Made, and not used."""
    key_prefix: Text | None = None
    """Put in front of every key."""
    read_chunk_size: Size = key(zero=64 << 10)
    """Bytes of one piece of a read."""
    max_concurrent_uploads: Number = 0
    """Has no effect; use `max_requests`."""
    connection_timeout_ms: Number = key(zero=3000)
    """Milliseconds to find and reach a server."""
    command_timeout_ms: Number = key(zero=10_000)
    """Has no effect."""
    enable_change_streams: Flag = False
    """Follow changes that others make."""
    write_concern_w: Text | None = None
    """How many servers must have a write: digits, or a word such as "majority"."""
    write_concern_j: bool | None = None
    """Whether they must have it on disk; needs `write_concern_w`."""
    write_concern_timeout_ms: Number | None = key(default=None, most=U32)
    """Milliseconds that this may take; needs `write_concern_w`."""
    max_requests: Number | None = None
    """Operations at a time; no limit unless stated."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """There is a server, work may be done, and write concerns are whole."""
        found = []
        if not values.connection_string:
            found.append("connection_string is empty")
        if values.max_requests == 0:
            found.append("max_requests must be more than 0; leave it out for no limit")
        if values.write_concern_w is None:
            found += [
                f"{name} needs write_concern_w"
                for name in ("write_concern_j", "write_concern_timeout_ms")
                if getattr(values, name) is not None
            ]
        return found

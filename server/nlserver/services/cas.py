"""ContentAddressableStorage: which blobs are here, small blobs in batches, and directory trees (REAPI v2)."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.service import InstanceSpec
from nlserver.spec import Spec, Text, key

_LEAST_AVERAGE_CHUNK = 1 << 10
_MOST_AVERAGE_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ChunkingSpec(Spec):
    """SplitBlob and SpliceBlob: large blobs as content-defined chunks, so that clients move only what changed."""

    index_store: Text | None = None
    """The store that keeps which chunks make which blob; it must not be the `cas_store` itself."""
    avg_chunk_size_bytes: int = key(zero=512 << 10)
    """The size that chunks have on average: 1024 to 1048576 bytes."""
    max_chunk_count: int = key(zero=50_000)
    """The most chunks that one blob may have; larger blobs are not split."""

    @classmethod
    def problems(cls, values: ChunkingSpec) -> list[str]:
        """An average chunk outside the limits of REAPI v2, FastCdc2020Params."""
        if _LEAST_AVERAGE_CHUNK <= values.avg_chunk_size_bytes <= _MOST_AVERAGE_CHUNK:
            return []
        return [f"avg_chunk_size_bytes is {values.avg_chunk_size_bytes}; it must be 1024 to 1048576"]


@dataclass(frozen=True, kw_only=True)
class CasSpec(InstanceSpec):
    """Serves the blobs of a store to clients under an instance name."""

    instance_name: str = ""
    """The name that clients give as `instance_name`; empty is the default instance."""
    cas_store: Text
    """The store, by its name in `stores`."""
    experimental_chunking: ChunkingSpec | None = None
    """Answer SplitBlob and SpliceBlob; absent means that both are refused."""

    @classmethod
    def problems(cls, values: CasSpec) -> list[str]:
        """Chunk layouts that would overwrite blobs."""
        chunking = values.experimental_chunking
        if chunking is None or chunking.index_store != values.cas_store:
            return []
        return [f"experimental_chunking.index_store must differ from cas_store {values.cas_store!r}"]

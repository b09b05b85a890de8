"""Values at another server: blobs of its CAS, or results of its action cache."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from nlserver import log
from nlserver.errors import Code, Error, invalid
from nlserver.fs import in_thread
from nlserver.reapi.blobs import BATCHING, MOST_BATCH_BYTES, Batching, Blobs
from nlserver.reapi.channel import Channel, dial
from nlserver.reapi.digest import Digest
from nlserver.reapi.endpoint import EndpointSpec, RetrySpec
from nlserver.reapi.parallel import each
from nlserver.reapi.results import Results
from nlserver.reapi.uploads import file_opener
from nlserver.spec import Flag, Number, Seconds, Site, Size, Spec, Text, key
from nlserver.store import Key, Missing, Store, StoreSpec
from nlserver.streams import Chunks, gather, once, part

_LARGEST_RESULT_BYTES: Final = 16 << 20
_RESULTS_AT_ONCE: Final = 16


@dataclass(frozen=True, kw_only=True)
class ReadBatchingSpec(Spec):
    """How reads of small blobs are merged into BatchReadBlobs calls."""

    max_blob_size_bytes: Size = 131_072
    """Larger blobs are read as a stream of their own."""
    max_batch_bytes: Size = 3 << 20
    """The most bytes of one call; never more than the server announces."""
    dispatch_slots: Number = 4
    """Calls under way at a time; further reads gather meanwhile."""
    max_queued_bytes: Size = 32 << 20
    """While more than this is waiting for a call, further reads go out as streams."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """Somebody must send."""
        return ["dispatch_slots must be at least 1"] if values.dispatch_slots < 1 else []


@dataclass(frozen=True, kw_only=True)
class GrpcSpec(StoreSpec, tag="grpc"):
    """Keeps values at another server of the Remote Execution API: its CAS or its action cache.

    Small blobs are merged into batches as far as the server allows it, large ones travel as streams. What is read whole
    is checked against its digest.
    """

    instance_name: Text = ""
    """The instance name in requests to that server, whatever name this process's clients use."""
    endpoints: tuple[EndpointSpec, ...]
    """The servers. Several must serve the same values: calls are spread over them, and one that is down is avoided."""
    store_type: Literal["cas", "ac"]
    """`"cas"` for blobs, `"ac"` for action results."""
    retry: RetrySpec = key(default_factory=RetrySpec)
    """How failed calls are repeated. Another endpoint is tried at once when one is unavailable."""
    max_concurrent_requests: Number = 0
    """Most calls at the same time, over all endpoints; further ones wait. 0 means no limit."""
    connections_per_endpoint: Number = key(zero=1)
    """Connections to each endpoint. More than one helps where a single connection does not fill the network."""
    rpc_timeout_s: Seconds = 0
    """Seconds that a call may take, and that a stream may stand still; 0 means no limit."""
    use_legacy_resource_names: Flag = False
    """Never state the digest function in the names of streams, for servers that do not know it. Otherwise it is stated
    for BLAKE3 and left out for SHA256, as the API asks; several servers refuse it there."""
    headers: dict[str, str] = key(default_factory=dict)
    """Metadata that goes with every call, such as `{"authorization": "Bearer ..."}`; values are taken literally."""
    forward_headers: tuple[str, ...] = ()
    """Headers of incoming requests to pass on. Not available yet: use `headers`."""
    experimental_read_batching: ReadBatchingSpec | None = None
    """How small reads are merged; they are merged with sensible figures when this is absent."""
    experimental_remote_cache_compression: Flag | None = None
    """Let blobs of 64 KiB and more travel by zstd where that server announces it. Where this is not said, they do if
    anything in this config asks for compression on the wire: a `grpc` store, or `remote_cache_compression`."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """There is an endpoint, and merged reads carry nobody's headers."""
        found = [] if values.endpoints else ["endpoints is empty: name at least one server"]
        if values.forward_headers and values.experimental_read_batching is not None:
            found.append("experimental_read_batching merges reads of several requests, so forward_headers cannot be")
        return found

    def build(self, site: Site) -> Store:
        """Make the store; it connects when it is first used. Raises Error for settings that are not available yet."""
        if self.forward_headers:
            raise Error(
                Code.UNIMPLEMENTED,
                "forward_headers of a grpc store is not available yet",
                remedy="Remove forward_headers, or send fixed ones with headers.",
            )
        if self.experimental_remote_cache_compression and self.store_type == "ac":
            log.warn("Only blobs are compressed, so this does nothing: experimental_remote_cache_compression")
        channel = self._channel()
        site.on_close(channel.close)
        timeout = self.rpc_timeout_s or None
        addresses = ", ".join(endpoint.address for endpoint in self.endpoints)
        facts = {"endpoints": addresses, "instance_name": self.instance_name, "store_type": self.store_type}
        if self.store_type == "ac":
            return RemoteResults(Results(channel, self.instance_name, timeout_seconds=timeout), facts)
        blobs = Blobs(
            channel,
            self.instance_name,
            states_function=False if self.use_legacy_resource_names else None,
            reads=self._read_batching(),
            timeout_seconds=timeout,
            compresses=self._compresses(site),
        )
        site.on_close(blobs.close)
        return RemoteBlobs(blobs, facts)

    def _compresses(self, site: Site) -> bool:
        said = self.experimental_remote_cache_compression
        return site.compresses if said is None else said

    def _channel(self) -> Channel:
        return dial(
            self.endpoints,
            connections=self.connections_per_endpoint,
            retry=self.retry,
            headers=[(name.lower(), value) for name, value in self.headers.items()],
            most_at_once=self.max_concurrent_requests or None,
        )

    def _read_batching(self) -> Batching:
        wish = self.experimental_read_batching
        if wish is None:
            return BATCHING
        return Batching(
            small_bytes=wish.max_blob_size_bytes,
            most_bytes=min(wish.max_batch_bytes, MOST_BATCH_BYTES),
            slots=wish.dispatch_slots,
            most_queued_bytes=wish.max_queued_bytes,
        )


class RemoteBlobs(Store):
    """Blobs of a remote CAS; implements `store.Chunked`. Keys are digests; others are Error INVALID_ARGUMENT."""

    def __init__(self, blobs: Blobs, facts: Mapping[str, str]) -> None:
        self._blobs = blobs
        self._facts = facts

    def facts(self) -> Mapping[str, str]:
        """Where the server is."""
        return self._facts

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """The digests' own sizes for what the server has."""
        digests = [_digest(key) for key in keys]
        absent = await self._blobs.missing(digests)
        return [None if digest in absent else digest.size_bytes for digest in digests]

    def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """Resumes when the connection breaks. A whole blob is verified: Error DATA_LOSS when it is damaged."""
        return self._blobs.read(_digest(key), offset, limit)

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """Small blobs travel together with others that are wanted at the same time."""
        digest = _digest(key)
        if digest.size_bytes > most:
            raise _too_large(digest, most)
        return await self._blobs.get(digest)

    async def put(self, key: Key, data: bytes) -> None:
        """Small blobs travel together with others that are put at the same time."""
        digest = _digest(key)
        if len(data) != digest.size_bytes:
            raise invalid(f"{len(data)} bytes were to be kept as {digest}")
        if data:
            await self._blobs.put(digest, data)

    async def write(self, key: Key, chunks: Chunks) -> None:
        """A stream cannot be read twice: when the connection breaks after its first chunk, the write fails."""
        digest = _digest(key)
        if self._blobs.is_small(digest):
            await self.put(digest, await _whole(digest, chunks))
        else:
            await self._blobs.write(digest, _OneShot(chunks).reopen)

    async def write_file(self, key: Key, path: Path) -> None:
        """Resumes when the connection breaks."""
        digest = _digest(key)
        if self._blobs.is_small(digest):
            await self.put(digest, await in_thread(path.read_bytes))
        else:
            await self._blobs.write(digest, file_opener(path))

    async def split(self, blob: Digest) -> list[Digest]:
        """As the server does it."""
        return await self._blobs.split(blob)

    async def splice(self, blob: Digest, chunks: Sequence[Digest], *, by_content: bool) -> None:
        """As the server does it."""
        await self._blobs.splice(blob, chunks, by_content=by_content)


class RemoteResults(Store):
    """Results of a remote action cache, by the digests of their actions; a result has at most 16 MiB."""

    def __init__(self, results: Results, facts: Mapping[str, str]) -> None:
        self._results = results
        self._facts = facts

    def facts(self) -> Mapping[str, str]:
        """Where the server is."""
        return self._facts

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """Each result is fetched for it, as the protocol has no other question (REAPI v2, GetActionResult)."""
        found: dict[Digest, int] = {}

        async def look(action: Digest) -> None:
            data = await self._results.get(action)
            if data is not None:
                found[action] = len(data)

        digests = [_digest(key) for key in keys]
        await each(dict.fromkeys(digests), look, _RESULTS_AT_ONCE)
        return [found.get(digest) for digest in digests]

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """The serialised ActionResult."""
        async with aclosing(part(once(await self.get(key)), offset, limit)) as pieces:
            async for piece in pieces:
                yield piece

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """The serialised ActionResult. Raises Missing for a miss."""
        digest = _digest(key)
        data = await self._results.get(digest)
        if data is None:
            raise Missing(digest)
        if len(data) > most:
            raise _too_large(digest, most)
        return data

    async def put(self, key: Key, data: bytes) -> None:
        """Update the action cache with a serialised ActionResult."""
        await self._results.put(_digest(key), data)

    async def write(self, key: Key, chunks: Chunks) -> None:
        """As `put`."""
        await self.put(key, await gather(chunks, _LARGEST_RESULT_BYTES))


class _OneShot:
    """A stream that can be begun again until its second chunk is taken."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._first: bytes | None = None
        self._gone = False

    def reopen(self, offset: int) -> AsyncGenerator[bytes, None] | None:
        """The bytes from `offset`; None when they are gone."""
        if self._gone or offset > len(self._first or b""):
            return None
        return self._opened(offset)

    async def _opened(self, offset: int) -> AsyncGenerator[bytes, None]:
        if self._first is None:
            self._first = await anext(self._chunks, b"")
        if rest := self._first[offset:]:
            yield rest
        async for chunk in self._chunks:
            self._gone, self._first = True, b""
            yield chunk


async def _whole(digest: Digest, chunks: Chunks) -> bytes:
    parts: list[bytes] = []
    total = 0
    async for chunk in chunks:
        parts.append(chunk)
        total += len(chunk)
        if total > digest.size_bytes:
            raise invalid(f"more bytes than {digest.size_bytes} were to be kept as {digest}")
    return b"".join(parts)


def _digest(key: Key) -> Digest:
    if not isinstance(key, Digest):
        raise invalid(f"a remote server keeps values under digests only, so {key!r} cannot be kept there")
    return key


def _too_large(digest: Digest, most: int) -> Error:
    return Error(Code.RESOURCE_EXHAUSTED, f"{digest} was to be held in memory, but is larger than {most} bytes")

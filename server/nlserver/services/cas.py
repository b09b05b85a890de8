"""ContentAddressableStorage: which blobs are here, small blobs in batches, trees, and blobs as chunks (REAPI v2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

from google.rpc import status_pb2

from nlserver.errors import Code, Error, invalid
from nlserver.metrics import Count, count
from nlserver.proto import remote_execution_pb2
from nlserver.reapi import codec
from nlserver.reapi.digest import Digest, Function, digest_of, digests_of, function_of, is_empty
from nlserver.reapi.names import Compressor
from nlserver.reapi.status import status_of
from nlserver.reapi.tree import message_of
from nlserver.service import Context, InstanceSpec, Service, instance
from nlserver.spec import Site, Spec, Text, key
from nlserver.store import Chunked, Store, store_named
from nlserver.streams import off_loop
from nlserver.transfer.answers import Packed, batch_read_response, batch_update_response
from nlserver.transfer.chunking import Chunking
from nlserver.transfer.intake import put_verified, short
from nlserver.transfer.limits import MOST_BATCH_BYTES
from nlserver.transfer.sending import send
from nlserver.transfer.spread import spread
from nlserver.transfer.tree_walk import Pages, Walk, start_of

T = TypeVar("T")
_LEAST_AVERAGE_CHUNK: Final = 1 << 10
_MOST_AVERAGE_CHUNK: Final = 1 << 20
_FAST_CDC: Final = remote_execution_pb2.ChunkingFunction.FAST_CDC_2020


@dataclass(frozen=True, kw_only=True)
class ChunkingSpec(Spec):
    """SplitBlob and SpliceBlob: large blobs as content-defined chunks, so that clients move only what changed."""

    index_store: Text | None = None
    """The store that keeps which chunks make which blob; it must not be the `cas_store` itself. Chunks are blobs of the
    `cas_store`. Absent where that is a `grpc` store: the server behind it is asked."""
    avg_chunk_size_bytes: int = key(zero=512 << 10)
    """The size that chunks have on average: 1024 to 1048576 bytes."""
    max_chunk_count: int = key(zero=50_000)
    """The most chunks that one blob may have, at most 50,000; larger blobs are not split."""

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


_MOST_BATCH_BLOBS: Final = 1 << 16
_DIGESTS_A_TURN: Final = 2048
_AT_ONCE: Final = 16
_LEAST_PACKED_BYTES: Final = 128
"""Smaller blobs gain nothing by being compressed."""


def build(specs: Sequence[CasSpec], site: Site, *, compressing: frozenset[str] = frozenset()) -> Service:
    """The service for these instances; `compressing` names those whose blobs may travel compressed.

    Raises Error FAILED_PRECONDITION for chunking without its index.
    """
    stores = {spec.instance_name: store_named(site, spec.cas_store) for spec in specs}
    chunked = {
        spec.instance_name: _chunked(spec.instance_name, spec.experimental_chunking, stores[spec.instance_name], site)
        for spec in specs
        if spec.experimental_chunking is not None
    }
    return Cas(stores, Function[site.default_function.upper()], compressing, chunked)


def _chunked(name: str, spec: ChunkingSpec, store: Store, site: Site) -> Chunked:
    if isinstance(store, Chunked):
        return store
    if spec.index_store is None:
        raise Error(
            Code.FAILED_PRECONDITION,
            f"experimental_chunking of cas instance {name!r} has no index_store",
            remedy="Name a store that keeps which chunks make which blob.",
        )
    index = store_named(site, spec.index_store)
    chunking = Chunking(store, index, spec.avg_chunk_size_bytes, spec.max_chunk_count)
    site.on_close(chunking.close)
    return chunking


class Cas(Service):
    """REAPI v2, ContentAddressableStorage. Every upload is verified, whatever the store."""

    descriptors = (remote_execution_pb2.DESCRIPTOR.services_by_name["ContentAddressableStorage"],)

    def __init__(
        self,
        stores: Mapping[str, Store],
        default: Function,
        compressing: frozenset[str] = frozenset(),
        chunked: Mapping[str, Chunked] = MappingProxyType({}),
    ) -> None:
        self._stores = stores
        self._default = default
        self._compressing = compressing
        self._chunked = chunked

    async def FindMissingBlobs(
        self, request: remote_execution_pb2.FindMissingBlobsRequest, context: Context
    ) -> remote_execution_pb2.FindMissingBlobsResponse:
        """Those of the digests, each once, that are absent. Raises Error INVALID_ARGUMENT for any malformed digest."""
        store = instance(self._stores, request.instance_name)
        wanted = await _by_digest(request.blob_digests, function_of(request.digest_function, self._default))
        keys = [digest for digest in wanted if not is_empty(digest)]
        held = await store.sizes(keys) if keys else []
        missing = [wanted[key] for key, size in zip(keys, held, strict=True) if size is None]
        count(Count.ASKED_BLOBS, len(keys))
        count(Count.MISSING_BLOBS, len(missing))
        return remote_execution_pb2.FindMissingBlobsResponse(missing_blob_digests=missing)

    async def BatchUpdateBlobs(self, request: remote_execution_pb2.BatchUpdateBlobsRequest, context: Context) -> bytes:
        """Keep small blobs, each by itself; what is present already is not written again.

        Raises Error INVALID_ARGUMENT, before anything is kept, for malformed digests and past the announced total.
        """
        store = instance(self._stores, request.instance_name)
        function = function_of(request.digest_function, self._default)
        _check_count(len(request.requests))
        offers = [_Offer(digest_of(one.digest, function), one.data, one.compressor) for one in request.requests]
        _check_total(sum(offer.weight for offer in offers))
        held = await store.sizes([offer.digest for offer in offers]) if offers else []
        compressing = request.instance_name in self._compressing

        async def keep(place: int) -> status_pb2.Status | None:
            return await _keep(store, offers[place], present=held[place] is not None, compressing=compressing)

        outcomes = await spread(range(len(offers)), keep, _AT_ONCE)
        return batch_update_response(zip((offer.digest for offer in offers), outcomes, strict=True))

    async def BatchReadBlobs(self, request: remote_execution_pb2.BatchReadBlobsRequest, context: Context) -> bytes:
        """Small blobs, each with its own status, and compressed where the client accepts it and it pays.

        Raises Error INVALID_ARGUMENT, before anything is read, for malformed digests and past the announced total.
        """
        store = instance(self._stores, request.instance_name)
        function = function_of(request.digest_function, self._default)
        _check_count(len(request.digests))
        digests = digests_of(request.digests, function)
        _check_total(sum(digest.size_bytes for digest in digests))

        compressing = request.instance_name in self._compressing
        packing = _accepted(request.acceptable_compressors) if compressing else None

        async def read(digest: Digest) -> bytes | Packed | status_pb2.Status:
            found = await _blob(store, digest)
            return await _packed(found, packing) if packing and isinstance(found, bytes) else found

        outcomes = await spread(digests, read, _AT_ONCE)
        return batch_read_response(zip(digests, outcomes, strict=True))

    async def GetTree(self, request: remote_execution_pb2.GetTreeRequest, context: Context) -> None:
        """Every directory below the root, each once, breadth first; what is missing below the root is left out.

        Raises Error NOT_FOUND for an absent root, INVALID_ARGUMENT for blobs that are no directories and for page
        tokens of other trees.
        """
        store = instance(self._stores, request.instance_name)
        root = digest_of(request.root_digest, function_of(request.digest_function, self._default))
        if request.page_size < 0:
            raise invalid(f"page_size {request.page_size} is negative")
        scope = f"{request.instance_name}\0{root.function.name}\0{root}"
        pages = Pages(scope, request.page_size, start_of(scope, request.page_token, root))
        async for message in _pages(store, root, pages):
            await send(context, message)

    async def SplitBlob(
        self, request: remote_execution_pb2.SplitBlobRequest, context: Context
    ) -> remote_execution_pb2.SplitBlobResponse:
        """The chunks of a blob, which are blobs of this CAS; none for one that is not to be split.

        The client's chunking function is a wish. Raises Error NOT_FOUND for an absent blob.
        """
        chunked = self._chunking(request.instance_name)
        chunks = await _first_that_fits(
            self._functions(request.digest_function),
            lambda function: chunked.split(digest_of(request.blob_digest, function)),
        )
        return remote_execution_pb2.SplitBlobResponse(
            chunk_digests=[message_of(chunk) for chunk in chunks], chunking_function=_FAST_CDC
        )

    async def SpliceBlob(
        self, request: remote_execution_pb2.SpliceBlobRequest, context: Context
    ) -> remote_execution_pb2.SpliceBlobResponse:
        """Keep the blob that chunks of this CAS make; OK when it is here already, whatever its chunks.

        Never ALREADY_EXISTS, which Bazel takes for a failure. Raises Error NOT_FOUND for absent chunks,
        INVALID_ARGUMENT when they do not make the blob; nothing is kept then.
        """
        chunked = self._chunking(request.instance_name)

        async def splice(function: Function) -> None:
            blob = digest_of(request.blob_digest, function)
            chunks = [digest_of(message, function) for message in request.chunk_digests]
            await chunked.splice(blob, chunks, by_content=request.chunking_function == _FAST_CDC)

        await _first_that_fits(self._functions(request.digest_function), splice)
        return remote_execution_pb2.SpliceBlobResponse(blob_digest=request.blob_digest)

    def _chunking(self, name: str) -> Chunked:
        instance(self._stores, name)
        if name not in self._chunked:
            raise Error(Code.UNIMPLEMENTED, f"blobs of instance {name!r} are not split", remedy="See GetCapabilities.")
        return self._chunked[name]

    def _functions(self, number: int) -> list[Function]:
        """What a digest may be of: Bazel 9.1 leaves the function of these calls unset though it is BLAKE3."""
        first = function_of(number, self._default)
        return [first] if number else [first, *(function for function in Function if function is not first)]


class _Offer(NamedTuple):
    digest: Digest
    data: bytes
    compressor: int

    @property
    def weight(self) -> int:
        """The bytes that it may take in memory."""
        return max(len(self.data), self.digest.size_bytes) if self.compressor else len(self.data)


async def _by_digest(
    messages: Sequence[remote_execution_pb2.Digest], function: Function
) -> dict[Digest, remote_execution_pb2.Digest]:
    if len(messages) <= _DIGESTS_A_TURN:
        return dict(zip(digests_of(messages, function), messages, strict=True))
    wanted: dict[Digest, remote_execution_pb2.Digest] = {}
    for start in range(0, len(messages), _DIGESTS_A_TURN):
        turn = messages[start : start + _DIGESTS_A_TURN]
        wanted.update(zip(digests_of(turn, function), turn, strict=True))
        await asyncio.sleep(0)
    return wanted


def _check_count(count: int) -> None:
    if count > _MOST_BATCH_BLOBS:
        raise invalid(f"a batch of {count} blobs: at most {_MOST_BATCH_BLOBS} go into one call")


def _check_total(total: int) -> None:
    if total > MOST_BATCH_BYTES:
        raise invalid(
            f"a batch of {total} bytes is larger than max_batch_total_size_bytes, {MOST_BATCH_BYTES}",
            remedy="Send fewer blobs in one call, or large ones by ByteStream.",
        )


async def _keep(store: Store, offer: _Offer, *, present: bool, compressing: bool) -> status_pb2.Status | None:
    digest, data, number = offer
    try:
        compressor = codec.BY_NUMBER.get(number) if compressing or not number else None
        if compressor not in (Compressor.IDENTITY, *codec.SERVED):
            raise invalid(f"compressor {number} of {digest} is not announced for batch updates")
        if present or is_empty(digest):
            return None
        if compressor is not Compressor.IDENTITY:
            data = await off_loop(digest.size_bytes, codec.decompress, data, compressor, digest.size_bytes)
        await put_verified(store, digest, data)
    except Error as error:
        return status_of(error)
    return None


async def _blob(store: Store, digest: Digest) -> bytes | status_pb2.Status:
    if is_empty(digest):
        return b""
    try:
        data = await store.get(digest)
    except Error as error:
        return status_of(error)
    return data if len(data) == digest.size_bytes else status_of(short(digest, len(data)))


async def _first_that_fits(functions: Sequence[Function], work: Callable[[Function], Awaitable[T]]) -> T:
    """What the work gives with the first function with which it does not fail; else the first failure."""
    failure: Error | None = None
    for function in functions:
        try:
            return await work(function)
        except Error as error:
            if error.code not in (Code.NOT_FOUND, Code.INVALID_ARGUMENT):
                raise
            failure = failure or error
    assert failure is not None
    raise failure


def _accepted(numbers: Sequence[int]) -> Compressor | None:
    """The best compressor that both sides have."""
    return next((compressor for compressor in codec.SERVED if codec.NUMBERS[compressor] in numbers), None)


async def _packed(data: bytes, compressor: Compressor) -> bytes | Packed:
    if len(data) < _LEAST_PACKED_BYTES:
        return data
    packed = await off_loop(len(data), codec.compress, data, compressor)
    return Packed(packed, codec.NUMBERS[compressor]) if len(packed) < len(data) else data


async def _pages(store: Store, root: Digest, pages: Pages) -> AsyncGenerator[bytes, None]:
    walk = Walk(root)

    async def read(digest: Digest) -> bytes | Error:
        return await _directory(store, digest)

    while batch := walk.take():
        for digest, found in zip(batch, await spread(batch, read, _AT_ONCE), strict=True):
            pages.reached(digest)
            if isinstance(found, Error):
                if found.code is not Code.NOT_FOUND or digest == root:
                    raise found
                continue
            await off_loop(len(found), walk.found, digest, found)
            if page := pages.add(digest, found):
                yield page
    if not pages.started:
        raise invalid("page_token names a directory that is not in this tree")
    yield pages.last()


async def _directory(store: Store, digest: Digest) -> bytes | Error:
    try:
        return b"" if is_empty(digest) else await store.get(digest)
    except Error as error:
        return error

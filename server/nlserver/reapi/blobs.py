"""The blobs of one instance at a remote CAS: small ones in batches, large ones as streams that resume.

Laws: what is read whole is verified before the reader learns that it is at the end; a failure of the source of an
upload is never taken for one of the server; memory is bounded by batches and chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi import methods, wire
from nlserver.reapi.bytestream import PLAIN, ByteStreams, Reopen
from nlserver.reapi.channel import Channel
from nlserver.reapi.coalescer import Coalescer
from nlserver.reapi.codec import compress, decompress
from nlserver.reapi.digest import Digest, Function, digest_of, is_empty, of
from nlserver.reapi.names import Compressor
from nlserver.reapi.status import error_of
from nlserver.reapi.tree import message_of
from nlserver.streams import CHUNK_BYTES, off_loop

MOST_BATCH_BYTES: Final = 3_500 << 10
"""The most bytes of blobs in one batch, whatever the server allows: the message stays below gRPC's usual 4 MiB."""
MOST_BATCH_ITEMS: Final = 4_000
COMPRESSED_BYTES: Final = 64 << 10
"""From this size on a stream is compressed, if any: below, the network is not what it waits for."""
LEAST_PACKED_BYTES: Final = 1 << 10
"""Blobs from this size on are compressed in batches, if any."""
_MOST_ASKED: Final = 10_000
_ZSTD: Final = re_pb.Compressor.ZSTD
_FAST_CDC: Final = re_pb.ChunkingFunction.FAST_CDC_2020
SMALL_BYTES: Final = 256 << 10
"""Blobs up to this size travel in batches where the server's limit allows it; above, a stream is as fast (measured)."""
_HELD_BYTES: Final = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How small blobs travel together: which are small, how many bytes a call has, how many calls are under way.

    While more than `most_queued_bytes` wait for a call, further blobs travel by themselves.
    """

    small_bytes: int = SMALL_BYTES
    most_bytes: int = MOST_BATCH_BYTES
    slots: int = 2
    most_queued_bytes: int = 32 << 20


BATCHING: Final = Batching()


@dataclass(frozen=True, slots=True)
class _Offer:
    """What the server has announced of transfers (REAPI v2, CacheCapabilities)."""

    batch_bytes: int
    zstd: bool
    zstd_updates: bool


class Blobs:
    """A remote CAS. All methods may be called concurrently; the channel is the caller's, `close` leaves it open."""

    def __init__(
        self,
        channel: Channel,
        instance_name: str = "",
        *,
        states_function: bool | None = None,
        reads: Batching = BATCHING,
        writes: Batching = BATCHING,
        timeout_seconds: float | None = None,
        compresses: bool = False,
    ) -> None:
        """`timeout_seconds` is for an unary call, and for the silence of a stream; see `names.read_name`.

        `compresses` lets blobs travel by zstd where the server announces it.
        """
        self._channel = channel
        self._instance = instance_name
        self._timeout = timeout_seconds
        self._compresses = compresses
        self._streams = ByteStreams(channel, instance_name, states_function, timeout_seconds)
        self._reading, self._writing = reads, writes
        self._offer: _Offer | None = None
        self._asking: asyncio.Task[_Offer] | None = None
        self._no_batches = False
        self._reads = Coalescer(
            self.read_batch, most_weight=reads.most_bytes, most_items=MOST_BATCH_ITEMS, slots=reads.slots
        )
        self._writes = Coalescer(
            self.write_batch, most_weight=writes.most_bytes, most_items=MOST_BATCH_ITEMS, slots=writes.slots
        )
        self._questions = Coalescer(self._missing_of_all, most_weight=_MOST_ASKED)

    async def close(self) -> None:
        """End the batches under way."""
        if self._asking is not None:
            self._asking.cancel()
        for coalescer in (self._reads, self._writes, self._questions):
            await coalescer.close()

    async def capabilities(self) -> re_pb.ServerCapabilities:
        """What the server offers for this instance (REAPI v2, GetCapabilities). Raises Error."""
        request = re_pb.GetCapabilitiesRequest(instance_name=self._instance)
        return await self._channel.unary(methods.GET_CAPABILITIES, request, self._timeout)

    async def batch_limit(self) -> int:
        """The most bytes of one batch; 0 when the server takes no batches. The server is asked once.

        Raises Error when it cannot be asked.
        """
        offer = await self._offered()
        return 0 if self._no_batches else offer.batch_bytes

    async def _offered(self) -> _Offer:
        if self._offer is None:
            if self._asking is None:
                self._asking = asyncio.get_running_loop().create_task(self._asked())
                self._asking.add_done_callback(self._answered)
            # Shared by all who wait for it, so whoever is cancelled leaves it to the others.
            self._offer = await asyncio.shield(self._asking)
        return self._offer

    def _answered(self, asking: asyncio.Task[_Offer]) -> None:
        self._asking = None
        if not asking.cancelled():
            asking.exception()

    async def _asked(self) -> _Offer:
        try:
            cache = (await self.capabilities()).cache_capabilities
        except Error as error:
            if error.code is not Code.UNIMPLEMENTED:
                raise
            cache = re_pb.CacheCapabilities()
        limit = cache.max_batch_total_size_bytes
        if limit > 0:
            for coalescer in (self._reads, self._writes):
                coalescer.most_weight = min(coalescer.most_weight, limit)
        return _Offer(
            batch_bytes=min(limit, MOST_BATCH_BYTES) if limit > 0 else MOST_BATCH_BYTES,
            zstd=_ZSTD in cache.supported_compressors,
            zstd_updates=_ZSTD in cache.supported_batch_update_compressors,
        )

    async def _fits(self, digest: Digest, queue: Coalescer[Any, Any], batching: Batching) -> bool:
        """Whether a blob shall travel with others."""
        return (
            queue.queued_weight <= batching.most_queued_bytes
            and digest.size_bytes <= batching.small_bytes
            and 0 < digest.size_bytes <= await self.batch_limit()
        )

    @staticmethod
    def is_small(digest: Digest) -> bool:
        """Whether a blob is better held in memory than streamed."""
        return digest.size_bytes <= _HELD_BYTES

    async def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those which the server lacks; the empty blob never is one (REAPI v2, FindMissingBlobs). Raises Error."""
        wanted = [digest for digest in dict.fromkeys(digests) if not is_empty(digest)]
        if not wanted:
            return set()
        parts = [tuple(wanted[start : start + _MOST_ASKED]) for start in range(0, len(wanted), _MOST_ASKED)]
        if len(parts) == 1:
            return await self._questions.ask(parts[0], len(parts[0]))
        # One after the other: the answers are small and others want to ask, too.
        return set().union(*[await self._questions.ask(part, len(part)) for part in parts])

    async def _missing_of_all(self, questions: Sequence[tuple[Digest, ...]]) -> list[set[Digest] | Error]:
        asked = dict.fromkeys(digest for question in questions for digest in question)
        absent: set[Digest] = set()
        for function in Function:
            same = [digest for digest in asked if digest.function is function]
            if same:
                absent |= await self._absent(same, function)
        if len(questions) == 1:
            return [absent]
        return [absent.intersection(question) for question in questions]

    async def _absent(self, digests: Sequence[Digest], function: Function) -> set[Digest]:
        request = re_pb.FindMissingBlobsRequest(
            instance_name=self._instance,
            blob_digests=[message_of(digest) for digest in digests],
            digest_function=function.value,  # type: ignore[arg-type]
        )
        answer = await self._channel.unary(methods.FIND_MISSING, request, self._timeout)
        return {digest_of(message, function) for message in answer.missing_blob_digests}

    async def get(self, digest: Digest) -> bytes:
        """A whole blob in one piece, verified. Raises Missing, Error DATA_LOSS when it is damaged."""
        if is_empty(digest):
            return b""
        if await self._fits(digest, self._reads, self._reading):
            try:
                return await self._reads.ask(digest, digest.size_bytes)
            except Error as error:
                self._without_batches(error)
        async with aclosing(self.read(digest)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def put(self, digest: Digest, data: bytes) -> None:
        """Upload a blob that is in memory, whether or not the server has it. Raises Error."""
        if await self._fits(digest, self._writes, self._writing):
            try:
                return await self._writes.ask((digest, data), len(data))
            except Error as error:
                self._without_batches(error)
        return await self.write(digest, lambda offset: _slices(data, offset))

    async def get_many(self, digests: Sequence[Digest]) -> list[bytes | Error]:
        """For each of some small blobs, in order, its verified bytes or an Error; together within `batch_limit`."""
        if await self.batch_limit():
            try:
                return await self.read_batch(digests)
            except Error as error:
                self._without_batches(error)
        return [await _outcome(self.get(digest)) for digest in digests]

    async def put_many(self, blobs: Sequence[tuple[Digest, bytes]]) -> list[Error | None]:
        """Upload some small blobs, together within `batch_limit`; for each, in order, None or an Error."""
        if await self.batch_limit():
            try:
                return await self.write_batch(blobs)
            except Error as error:
                self._without_batches(error)
        return [await _outcome(self.put(digest, data)) for digest, data in blobs]

    def _without_batches(self, error: Error) -> None:
        """Go on without batches where the server has none; any other error is raised."""
        if error.code is not Code.UNIMPLEMENTED:
            raise error
        self._no_batches = True

    async def read_batch(self, digests: Sequence[Digest]) -> list[bytes | Error]:
        """For each, in order, its verified bytes, or an Error (Missing when absent); together within `batch_limit`.

        Raises Error when the call fails as a whole (REAPI v2, BatchReadBlobs).
        """
        found: dict[Digest, bytes | Error] = {digest: b"" for digest in digests if is_empty(digest)}
        for function in Function:
            same = [digest for digest in dict.fromkeys(digests) if digest.function is function and digest not in found]
            if same:
                await self._read_batch(same, function, found)
        absent = Error(Code.INTERNAL, "the server did not answer for a blob of a batch", where=self._channel.where)
        return [found.get(digest, absent) for digest in digests]

    async def _read_batch(
        self, digests: Sequence[Digest], function: Function, found: dict[Digest, bytes | Error]
    ) -> None:
        request = re_pb.BatchReadBlobsRequest(
            instance_name=self._instance,
            digests=[message_of(digest) for digest in digests],
            digest_function=function.value,  # type: ignore[arg-type]
            acceptable_compressors=[_ZSTD] if self._compresses else [],
        )
        answer = await self._channel.unary(methods.BATCH_READ, request, self._timeout)
        # One job for all: a thread that hashes gives the interpreter up and gets it back late, and so for each blob.
        total = sum(digest.size_bytes for digest in digests)
        found.update(await off_loop(total, self._opened, answer, function))

    def _opened(self, answer: re_pb.BatchReadBlobsResponse, function: Function) -> dict[Digest, bytes | Error]:
        """What a batch brought: verified bytes, or an Error."""
        found: dict[Digest, bytes | Error] = {}
        for one in answer.responses:
            digest = digest_of(one.digest, function)
            if one.status.code:
                found[digest] = self._streams.verdict(error_of(one.status, self._channel.where), digest)
            else:
                found[digest] = self._plain(digest, one.data, one.compressor)
        return found

    def _plain(self, digest: Digest, data: bytes, compressor: int) -> bytes | Error:
        """The verified blob of an answer."""
        if compressor == _ZSTD and self._compresses:
            try:
                data = decompress(data, Compressor.ZSTD, digest.size_bytes, Code.DATA_LOSS)
            except Error as error:
                return error
        return data if of(data, digest.function) == digest else self._streams.damaged(digest)

    async def write_batch(self, blobs: Sequence[tuple[Digest, bytes]]) -> list[Error | None]:
        """For each, in order, None or an Error; together within `batch_limit` (REAPI v2, BatchUpdateBlobs).

        Raises Error when the call fails as a whole.
        """
        verdicts: dict[Digest, Error | None] = {}
        for function in Function:
            same = {digest: data for digest, data in blobs if digest.function is function}
            if same:
                entries = await self._packed(same)
                request = wire.batch_update_request(self._instance, function, entries)
                answer = await self._channel.unary(methods.BATCH_UPDATE, request, self._timeout)
                for one in answer.responses:
                    error = error_of(one.status, self._channel.where) if one.status.code else None
                    verdicts[digest_of(one.digest, function)] = error
        silent = Error(Code.INTERNAL, "the server did not answer for a blob of a batch", where=self._channel.where)
        return [verdicts.get(digest, silent) for digest, _ in blobs]

    async def _packed(self, blobs: Mapping[Digest, bytes]) -> Iterable[tuple[Digest, bytes, int]]:
        """What goes into a batch, with the number of the compressor."""
        if not self._compresses or not (await self._offered()).zstd_updates:
            return [(digest, data, 0) for digest, data in blobs.items()]
        return await off_loop(sum(map(len, blobs.values())), _smaller, blobs)

    async def read(self, digest: Digest, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset`, at most `limit`, in chunks; a broken stream is resumed.

        Raises Missing before the first chunk; a whole blob is verified: Error DATA_LOSS when it is damaged.
        """
        left = digest.size_bytes - offset
        to_end = limit is None or limit >= left
        compressor = await self._compressor(left) if to_end else PLAIN
        async with aclosing(self._streams.read(digest, offset, limit, compressor)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def pour(self, digest: Digest, sink: Callable[[bytes], object]) -> None:
        """Give a whole blob to a blocking `sink` in chunks, each in a thread: see `ByteStreams.pour`."""
        await self._streams.pour(digest, sink, await self._compressor(digest.size_bytes))

    async def write(self, digest: Digest, reopen: Reopen) -> None:
        """Upload a blob as a stream; broken, it goes on where the server says, if `reopen` can.

        Raises Error, INVALID_ARGUMENT when the source has another size than the digest; what the source raises comes
        out as it is.
        """
        await self._streams.write(digest, reopen, await self._compressor(digest.size_bytes))

    async def _compressor(self, size: int) -> Compressor:
        """How a stream of so many bytes shall travel."""
        if self._compresses and size >= COMPRESSED_BYTES and (await self._offered()).zstd:
            return Compressor.ZSTD
        return PLAIN

    async def tree(self, root: Digest) -> AsyncGenerator[re_pb.Directory, None]:
        """The directories of a tree as the server sends them, page by page (REAPI v2, GetTree).

        A broken stream goes on after its last page, where the server said how. Raises Error.
        """
        patience = self._channel.patience()
        token, begun = "", False
        while token or not begun:
            request = re_pb.GetTreeRequest(
                instance_name=self._instance,
                root_digest=message_of(root),
                page_token=token,
                digest_function=root.function.value,  # type: ignore[arg-type]
            )
            try:
                async with aclosing(
                    self._channel.receive(methods.GET_TREE, request, idle_seconds=self._timeout)
                ) as pages:
                    async for page in pages:
                        for found in page.directories:
                            yield found
                        token, begun = page.next_page_token, True
                        patience.renew()
            except Error as error:
                if begun and not token:
                    raise
                await patience.after(error)

    async def split(self, blob: Digest) -> list[Digest]:
        """The chunks that make a blob, which are blobs of the same CAS; none when it is not to be split.

        Raises Missing, Error UNIMPLEMENTED where a server does not split (REAPI v2, SplitBlob).
        """
        request = re_pb.SplitBlobRequest(
            instance_name=self._instance,
            blob_digest=message_of(blob),
            digest_function=blob.function.value,  # type: ignore[arg-type]
            chunking_function=_FAST_CDC,
        )
        try:
            answer = await self._channel.unary(methods.SPLIT, request, self._timeout)
        except Error as error:
            raise self._streams.verdict(error, blob) from error
        return [digest_of(message, blob.function) for message in answer.chunk_digests]

    async def splice(self, blob: Digest, chunks: Sequence[Digest], *, by_content: bool = False) -> None:
        """Keep the blob that chunks of this CAS make; `by_content` says that they were cut as the server announces.

        Raises Missing when the server lacks a chunk, Error INVALID_ARGUMENT when they do not make the blob, and
        UNIMPLEMENTED where a server does not splice (REAPI v2, SpliceBlob).
        """
        request = re_pb.SpliceBlobRequest(
            instance_name=self._instance,
            blob_digest=message_of(blob),
            chunk_digests=[message_of(chunk) for chunk in chunks],
            digest_function=blob.function.value,  # type: ignore[arg-type]
            chunking_function=_FAST_CDC if by_content else re_pb.ChunkingFunction.UNKNOWN,
        )
        try:
            await self._channel.unary(methods.SPLICE, request, self._timeout)
        except Error as error:
            # Some say so of a blob that they keep as other chunks.
            if error.code is not Code.ALREADY_EXISTS:
                raise self._streams.verdict(error, blob) from error


async def _outcome(work: Awaitable[T]) -> T | Error:
    try:
        return await work
    except Error as error:
        return error


async def _slices(data: bytes, offset: int) -> AsyncGenerator[bytes, None]:
    for start in range(offset, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]


def _smaller(blobs: Mapping[Digest, bytes]) -> list[tuple[Digest, bytes, int]]:
    """The blobs, compressed where it makes them smaller."""
    entries: list[tuple[Digest, bytes, int]] = []
    for digest, data in blobs.items():
        packed = compress(data, Compressor.ZSTD) if len(data) >= LEAST_PACKED_BYTES else data
        entries.append((digest, packed, _ZSTD) if len(packed) < len(data) else (digest, data, 0))
    return entries

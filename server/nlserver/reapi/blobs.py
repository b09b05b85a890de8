"""The blobs of one instance at a remote CAS: small ones in batches, large ones as streams that resume.

Laws: what is read whole is verified before the reader learns that it is at the end; a failure of the source of an
upload is never taken for one of the server; memory is bounded by batches and chunks.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from nlserver.errors import Code, Error, invalid
from nlserver.fs import settled
from nlserver.proto import bytestream_pb2
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi import methods, wire
from nlserver.reapi.channel import Channel
from nlserver.reapi.coalescer import Coalescer
from nlserver.reapi.digest import Digest, Function, digest_of, hasher, is_empty, of
from nlserver.reapi.names import read_name, write_name
from nlserver.reapi.status import error_of
from nlserver.reapi.tree import message_of
from nlserver.store import Missing
from nlserver.streams import CHUNK_BYTES, OFF_LOOP_BYTES

MOST_BATCH_BYTES: Final = 3_500 << 10
"""The most bytes of blobs in one batch, whatever the server allows: the message stays below gRPC's usual 4 MiB."""
MOST_BATCH_ITEMS: Final = 4_000
_MOST_ASKED: Final = 10_000
SMALL_BYTES: Final = 256 << 10
"""Blobs up to this size travel in batches where the server's limit allows it; above, a stream is as fast (measured)."""
_HELD_BYTES: Final = 1 << 20

T = TypeVar("T")
Reopen = Callable[[int], AsyncGenerator[bytes, None] | None]
"""Opens the bytes of an upload from an offset; None when they cannot be had from there any more."""


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


class _Source(Exception):
    """The source of an upload failed: carries its error past the handling of the server's errors."""

    def __init__(self, error: Error) -> None:
        super().__init__(str(error))
        self.error = error


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
    ) -> None:
        """`timeout_seconds` is for an unary call, and for the silence of a stream; see `names.read_name`."""
        self._channel = channel
        self._instance = instance_name
        self._states_function = states_function
        self._timeout = timeout_seconds
        self._reading, self._writing = reads, writes
        self._limit: int | None = None
        self._asking: asyncio.Task[int] | None = None
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
        if self._limit is None:
            if self._asking is None:
                self._asking = asyncio.get_running_loop().create_task(self._asked_limit())
                self._asking.add_done_callback(self._answered)
            # Shared by all who wait for it, so whoever is cancelled leaves it to the others.
            self._limit = await asyncio.shield(self._asking)
        return 0 if self._no_batches else self._limit

    def _answered(self, asking: asyncio.Task[int]) -> None:
        self._asking = None
        if not asking.cancelled():
            asking.exception()

    async def _asked_limit(self) -> int:
        try:
            announced = (await self.capabilities()).cache_capabilities.max_batch_total_size_bytes
        except Error as error:
            if error.code is not Code.UNIMPLEMENTED:
                raise
            announced = 0
        if announced > 0:
            for coalescer in (self._reads, self._writes):
                coalescer.most_weight = min(coalescer.most_weight, announced)
        return min(announced, MOST_BATCH_BYTES) if announced > 0 else MOST_BATCH_BYTES

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
        )
        answer = await self._channel.unary(methods.BATCH_READ, request, self._timeout)
        for one in answer.responses:
            digest = digest_of(one.digest, function)
            if one.status.code:
                found[digest] = self._verdict(error_of(one.status, self._channel.where), digest)
            elif await _hashed(one.data, function) != digest:
                found[digest] = self._damaged(digest)
            else:
                found[digest] = one.data

    async def write_batch(self, blobs: Sequence[tuple[Digest, bytes]]) -> list[Error | None]:
        """For each, in order, None or an Error; together within `batch_limit` (REAPI v2, BatchUpdateBlobs).

        Raises Error when the call fails as a whole.
        """
        verdicts: dict[Digest, Error | None] = {}
        for function in Function:
            same = {digest: data for digest, data in blobs if digest.function is function}
            if same:
                request = wire.batch_update_request(self._instance, function, same.items())
                answer = await self._channel.unary(methods.BATCH_UPDATE, request, self._timeout)
                for one in answer.responses:
                    error = error_of(one.status, self._channel.where) if one.status.code else None
                    verdicts[digest_of(one.digest, function)] = error
        silent = Error(Code.INTERNAL, "the server did not answer for a blob of a batch", where=self._channel.where)
        return [verdicts.get(digest, silent) for digest, _ in blobs]

    async def read(self, digest: Digest, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset`, at most `limit`, in the chunks of the server; a broken stream is resumed.

        Raises Missing before the first chunk; a whole blob is verified: Error DATA_LOSS when it is damaged.
        """
        end = digest.size_bytes if limit is None else min(digest.size_bytes, offset + limit)
        check = _Check(digest.function) if (offset, end) == (0, digest.size_bytes) else None
        try:
            async with aclosing(self._resumed(digest, offset, end)) as chunks:
                async for chunk in chunks:
                    if check is not None:
                        await check.update(chunk)
                    yield chunk
            if check is not None and await check.hexdigest() != digest.hash:
                raise self._damaged(digest)
        finally:
            if check is not None:
                await check.settle()

    async def _resumed(self, digest: Digest, offset: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset` up to `end`, from as many streams as it takes."""
        patience = self._channel.patience()
        at = offset
        while at < end:
            try:
                async with aclosing(self._stream(digest, at, end)) as chunks:
                    async for chunk in chunks:
                        at += len(chunk)
                        if at > end:
                            raise _Source(self._damaged(digest))
                        patience.renew()
                        yield chunk
                if at < end:
                    raise Error(Code.DATA_LOSS, f"the server sent {at} of {end} bytes of {digest}")
            except _Source as damage:
                raise damage.error from None
            except Error as error:
                await patience.after(self._verdict(error, digest))

    def _stream(self, digest: Digest, at: int, end: int) -> AsyncGenerator[bytes, None]:
        request = bytestream_pb2.ReadRequest(
            resource_name=read_name(self._instance, digest, states_function=self._states_function),
            read_offset=at,
            read_limit=0 if end == digest.size_bytes else end - at,
        )
        return self._channel.receive(methods.READ, request, idle_seconds=self._timeout)

    def _verdict(self, error: Error, digest: Digest) -> Error:
        if error.code is not Code.NOT_FOUND:
            return error
        return Missing(digest, message=error.message)

    def _damaged(self, digest: Digest) -> Error:
        return Error(Code.DATA_LOSS, f"the server sent other bytes than those of {digest}", where=self._channel.where)

    async def write(self, digest: Digest, reopen: Reopen) -> None:
        """Upload a blob as a stream; broken, it goes on where the server says, if `reopen` can.

        Raises Error, INVALID_ARGUMENT when the source has another size than the digest; what the source raises comes
        out as it is.
        """
        name = write_name(self._instance, str(uuid.uuid4()), digest, states_function=self._states_function)
        patience = self._channel.patience()
        offset = 0
        broken = Error(Code.INTERNAL, f"the source of {digest} cannot be read")
        while (chunks := reopen(offset)) is not None:
            try:
                return await self._written(name, digest, offset, chunks)
            except _Source as failure:
                raise failure.error from None
            except Error as error:
                await patience.after(error)
                broken = error
            committed = await self._committed(name, digest)
            if committed is None:
                return None
            if committed > offset:
                patience.renew()
            offset = committed
        raise broken

    async def _written(self, name: str, digest: Digest, offset: int, chunks: AsyncGenerator[bytes, None]) -> None:
        async with aclosing(chunks), aclosing(_requests(name, digest, offset, chunks)) as requests:
            answer = await self._channel.send(methods.WRITE, requests, idle_seconds=self._timeout)
        # -1 says that the blob was there already (REAPI v2.3, ByteStream.Write).
        if answer.committed_size not in (digest.size_bytes, -1):
            message = f"the server kept {answer.committed_size} of {digest.size_bytes} bytes of {digest}"
            raise Error(Code.DATA_LOSS, message, where=self._channel.where)

    async def _committed(self, name: str, digest: Digest) -> int | None:
        """How many bytes of an upload the server has; None when the blob is complete."""
        request = bytestream_pb2.QueryWriteStatusRequest(resource_name=name)
        try:
            answer = await self._channel.unary(methods.QUERY_WRITE_STATUS, request, self._timeout)
        except Error as error:
            # A server that cannot resume takes the upload from its beginning.
            if error.code in (Code.UNIMPLEMENTED, Code.NOT_FOUND):
                return 0
            raise
        if answer.complete:
            return None
        return answer.committed_size if 0 <= answer.committed_size <= digest.size_bytes else 0

    async def tree(self, root: Digest) -> AsyncGenerator[re_pb.Directory, None]:
        """The directories of a tree as the server sends them, page by page (REAPI v2, GetTree). Raises Error."""
        token = ""
        while True:
            request = re_pb.GetTreeRequest(
                instance_name=self._instance,
                root_digest=message_of(root),
                page_token=token,
                digest_function=root.function.value,  # type: ignore[arg-type]
            )
            token = ""
            async with aclosing(self._channel.receive(methods.GET_TREE, request, idle_seconds=self._timeout)) as pages:
                async for page in pages:
                    token = page.next_page_token
                    for found in page.directories:
                        yield found
            if not token:
                return


async def _requests(
    name: str, digest: Digest, offset: int, chunks: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    """WriteRequests of at most `CHUNK_BYTES`; the last one finishes. Raises _Source."""
    resource, size, sent = name.encode(), digest.size_bytes, offset
    try:
        async for chunk in chunks:
            if sent + len(chunk) > size:
                raise invalid(f"the source of {digest} has more bytes than that")
            for start in range(0, len(chunk), CHUNK_BYTES):
                piece = chunk if len(chunk) <= CHUNK_BYTES else memoryview(chunk)[start : start + CHUNK_BYTES]
                yield wire.write_request(resource, sent, piece, finish=sent + len(piece) == size)
                sent += len(piece)
        if sent < size:
            raise invalid(f"the source of {digest} has only {sent} bytes")
    except Error as error:
        raise _Source(error) from error
    if offset == size:
        yield wire.write_request(resource, offset, b"", finish=True)


async def _outcome(work: Awaitable[T]) -> T | Error:
    try:
        return await work
    except Error as error:
        return error


async def _slices(data: bytes, offset: int) -> AsyncGenerator[bytes, None]:
    for start in range(offset, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]


async def _hashed(data: bytes, function: Function) -> Digest:
    return of(data, function) if len(data) < OFF_LOOP_BYTES else await asyncio.to_thread(of, data, function)


class _Check:
    """Hashes a stream: large chunks in a thread, each while the next one is on its way."""

    def __init__(self, function: Function) -> None:
        self._hasher = hasher(function)
        self._job: asyncio.Future[None] | None = None

    async def update(self, chunk: bytes) -> None:
        """Take the next chunk; returns before a large one is hashed."""
        await self.settle()
        if len(chunk) < OFF_LOOP_BYTES:
            self._hasher.update(chunk)
        else:
            self._job = asyncio.get_running_loop().run_in_executor(None, self._hasher.update, chunk)

    async def hexdigest(self) -> str:
        """The hash of all chunks."""
        await self.settle()
        return self._hasher.hexdigest()

    async def settle(self) -> None:
        """Return when nothing is being hashed."""
        if self._job is not None:
            job, self._job = self._job, None
            await settled(job)

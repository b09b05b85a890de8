"""SplitBlob and SpliceBlob on one store: blobs as chunks that are blobs of the same store (REAPI v2).

A blob is cut when it is first asked for, and an index keeps which chunks it has. The index is believed only where it
could be right: its chunks have the sizes that are announced, come to the blob, and are all there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from google.protobuf.message import DecodeError

from nlserver import log
from nlserver.cut import named
from nlserver.errors import Code, Error, invalid
from nlserver.fastcdc import Sizes
from nlserver.proto import remote_execution_pb2
from nlserver.reapi.digest import Digest, digest_of, is_empty
from nlserver.reapi.parallel import each
from nlserver.reapi.tree import Blob, message_of
from nlserver.store import Missing, Store
from nlserver.streams import closing
from nlserver.transfer.intake import short
from nlserver.verified import verified

MOST_CHUNKS: Final = 50_000
"""The most chunks of a blob: the answer that names more of them would not reach a client of default limits."""
_JOBS_AT_ONCE: Final = 2
_MOST_JOBS: Final = 64
_MOST_LAYOUT_BYTES: Final = 4 << 20
_MOST_NAMED: Final = 20
_UNREADABLE: Final = frozenset((Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED, Code.DATA_LOSS))
_FAST_CDC: Final = remote_execution_pb2.ChunkingFunction.FAST_CDC_2020


class Chunking:
    """Implements `store.Chunked` on a store. Each blob is cut once at a time, whoever asks for it."""

    def __init__(
        self, store: Store, index: Store, average_bytes: int, most_chunks: int, *, most_jobs: int = _MOST_JOBS
    ) -> None:
        self._store = store
        self._index = index
        self._sizes = Sizes.around(average_bytes)
        self._most_chunks = min(most_chunks, MOST_CHUNKS)
        self._most_jobs = most_jobs
        self._jobs: dict[Digest, asyncio.Task[list[Digest]]] = {}
        self._slots = asyncio.Semaphore(_JOBS_AT_ONCE)

    async def split(self, blob: Digest) -> list[Digest]:
        """The chunks of a blob, which count as used; itself when it is small, none when it would have too many.

        Raises Missing, Error RESOURCE_EXHAUSTED when too many are being split, or the chunks do not fit.
        """
        if is_empty(blob):
            return []
        if (await self._store.sizes([blob]))[0] is None:
            raise Missing(blob)
        if blob.size_bytes < self._sizes.most:
            return [blob]
        if blob.size_bytes > self._most_chunks * self._sizes.normal:
            return []
        return await self._remembered(blob) or await self._cut_once(blob)

    async def splice(self, blob: Digest, chunks: Sequence[Digest], *, by_content: bool) -> None:
        """Keep the blob that these chunks make, unless it is here already, whatever chunks it came from.

        Raises Missing for absent chunks, Error INVALID_ARGUMENT, before anything is read, when their sizes do not
        come to the blob's, and when they have another hash.
        """
        self._check_sizes(blob, chunks)
        if is_empty(blob) or (await self._store.sizes([blob]))[0] is not None:
            return
        if absent := await self._absent(chunks):
            raise Missing(*absent[:_MOST_NAMED], message=f"{len(absent)} chunks of {blob} not found")
        async with closing(self._joined(chunks)) as joined, closing(verified(joined, blob)) as checked:
            await self._store.write(blob, checked)
        if by_content and self._credible(blob, chunks):
            await self._remember(blob, chunks)

    async def close(self) -> None:
        """End the jobs under way."""
        for job in self._jobs.values():
            job.cancel()
        await asyncio.gather(*self._jobs.values(), return_exceptions=True)

    def _check_sizes(self, blob: Digest, chunks: Sequence[Digest]) -> None:
        if len(chunks) > self._most_chunks:
            raise invalid(f"{blob} was to be made of {len(chunks)} chunks: expected at most {self._most_chunks}")
        if any(is_empty(chunk) for chunk in chunks):
            raise invalid(f"{blob} was to be made of empty chunks")
        total = sum(chunk.size_bytes for chunk in chunks)
        if total != blob.size_bytes:
            raise invalid(f"the {len(chunks)} chunks have {total} bytes, which does not match the expected {blob}")

    async def _absent(self, chunks: Sequence[Digest]) -> list[Digest]:
        distinct = list(dict.fromkeys(chunks))
        sizes = await self._store.sizes(distinct)
        return [chunk for chunk, size in zip(distinct, sizes, strict=True) if size is None]

    async def _joined(self, chunks: Sequence[Digest]) -> AsyncGenerator[bytes, None]:
        for chunk in chunks:
            sent = 0
            async with closing(self._store.read(chunk)) as pieces:
                async for piece in pieces:
                    sent += len(piece)
                    yield piece
            if sent != chunk.size_bytes:
                raise short(chunk, sent)

    async def _remembered(self, blob: Digest) -> list[Digest]:
        """The chunks that the index names, if they are there and could be those; else none."""
        try:
            data = await self._index.get(blob, _MOST_LAYOUT_BYTES)
            layout = remote_execution_pb2.SplitBlobResponse.FromString(data)
            chunks = [digest_of(message, blob.function) for message in layout.chunk_digests]
        except (Missing, DecodeError):
            return []
        except Error as error:
            if error.code not in _UNREADABLE:
                raise
            return []
        return chunks if self._credible(blob, chunks) and not await self._absent(chunks) else []

    def _credible(self, blob: Digest, chunks: Sequence[Digest]) -> bool:
        """Whether clients would take these for the chunks of the blob (Bazel checks each size and the sum)."""
        return (
            len(chunks) <= self._most_chunks
            and all(0 < chunk.size_bytes <= self._sizes.most for chunk in chunks)
            and sum(chunk.size_bytes for chunk in chunks) == blob.size_bytes
        )

    async def _remember(self, blob: Digest, chunks: Sequence[Digest]) -> None:
        layout = remote_execution_pb2.SplitBlobResponse(
            chunk_digests=[message_of(chunk) for chunk in chunks], chunking_function=_FAST_CDC
        )
        try:
            await self._index.put(blob, layout.SerializeToString())
        except Error as error:
            # The chunks are there, and can be found by cutting again.
            log.warn("The index of chunks could not be written", blob=str(blob), reason=str(error))

    async def _cut_once(self, blob: Digest) -> list[Digest]:
        job = self._jobs.get(blob)
        if job is None:
            if len(self._jobs) >= self._most_jobs:
                raise Error(Code.RESOURCE_EXHAUSTED, f"{len(self._jobs)} blobs are being split: try again later")
            job = self._jobs[blob] = asyncio.create_task(self._cut(blob), name=f"split {blob}")
            job.add_done_callback(lambda done: self._ended(blob, done))
        # It goes on when those who asked leave: when they come again it has got further.
        return await asyncio.shield(job)

    def _ended(self, blob: Digest, job: asyncio.Task[list[Digest]]) -> None:
        del self._jobs[blob]
        if not job.cancelled():
            job.exception()

    async def _cut(self, blob: Digest) -> list[Digest]:
        """Cut a blob, keep the chunks, and the index at last."""
        chunks: list[Digest] = []
        try:
            async with (
                self._slots,
                closing(self._store.read(blob)) as stored,
                closing(verified(stored, blob)) as checked,
                aclosing(named(checked, self._sizes, blob.function)) as rounds,
            ):
                async for blobs in rounds:
                    chunks += [piece.digest for piece in blobs]
                    if len(chunks) > self._most_chunks:
                        return []
                    await self._keep(blobs)
        except Error as error:
            if error.code is Code.INVALID_ARGUMENT:
                raise Error(Code.DATA_LOSS, f"the stored blob {blob} is damaged") from error
            raise
        # Whoever asked for its chunks still has the blob afterwards (REAPI v2, SplitBlob).
        if await self._absent([blob, *chunks]):
            raise Error(
                Code.RESOURCE_EXHAUSTED,
                f"{blob} and its chunks do not fit together: the first were evicted before the last were kept",
            )
        await self._remember(blob, chunks)
        return chunks

    async def _keep(self, blobs: Sequence[Blob]) -> None:
        data = {blob.digest: blob.data for blob in blobs}
        absent = await self._absent(list(data))
        await each(absent, lambda digest: self._store.put(digest, data[digest]), len(absent))

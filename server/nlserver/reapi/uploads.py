"""Uploads of many blobs: only what the server lacks, small ones in batches, large ones as streams that resume."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nlserver.errors import Code, Error
from nlserver.fs import in_thread
from nlserver.reapi.blobs import MOST_BATCH_ITEMS, SMALL_BYTES, Blobs
from nlserver.reapi.bytestream import Reopen
from nlserver.reapi.capture import unreadable
from nlserver.reapi.digest import Digest
from nlserver.reapi.parallel import each
from nlserver.streams import CHUNK_BYTES

Source = bytes | Path
"""The bytes of a blob, or the file that holds them and does not change meanwhile."""
_AT_ONCE: Final = 4
_BATCH_BYTES: Final = 1 << 20
"""The most bytes of one call: each is in memory three times, as blobs, as message and on its way."""
_UNASKED_BYTES: Final = 8 << 10


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload came to; the server had the other blobs already."""

    blobs: int
    total_bytes: int
    uploaded_blobs: int
    uploaded_bytes: int


async def upload(
    blobs: Blobs, sources: Mapping[Digest, Source], on_progress: Callable[[int], None] | None = None
) -> Uploaded:
    """Upload what the server lacks of these; `on_progress` is told the bytes of each part that is done.

    Raises Error, FAILED_PRECONDITION when a file cannot be read or has changed.
    """
    absent = await blobs.missing(sources)
    wanted = [digest for digest in sources if digest in absent]
    small_bytes = min(SMALL_BYTES, await blobs.batch_limit()) if wanted else 0

    async def send(group: list[Digest]) -> None:
        if group[0].size_bytes > small_bytes:
            await _send_large(blobs, group[0], sources[group[0]])
        else:
            await _send_small(blobs, {digest: sources[digest] for digest in group})
        if on_progress is not None:
            on_progress(sum(digest.size_bytes for digest in group))

    most_bytes = min(_BATCH_BYTES, await blobs.batch_limit()) if wanted else 0
    await each(grouped(wanted, small_bytes, most_bytes), send, _AT_ONCE)
    total = sum(digest.size_bytes for digest in sources)
    return Uploaded(len(sources), total, len(wanted), sum(digest.size_bytes for digest in wanted))


async def send_few(blobs: Blobs, sources: Mapping[Digest, Source]) -> Uploaded | None:
    """Upload these; where they come to a few kilobytes, without asking first: that would cost as much as sending.

    What it came to; None where nobody asked what was there.
    """
    few = {digest: source for digest, source in sources.items() if isinstance(source, bytes)}
    if len(few) < len(sources) or sum(digest.size_bytes for digest in few) > _UNASKED_BYTES:
        return await upload(blobs, sources)
    # Each by itself, so that what others put at the same time travels along.
    await each(few, lambda digest: blobs.put(digest, few[digest]), len(few))
    return None


def grouped(digests: Iterable[Digest], small_bytes: int, most_bytes: int) -> Iterator[list[Digest]]:
    """Groups for one call each: every large blob by itself, small ones up to `most_bytes` together."""
    group: list[Digest] = []
    total = 0
    for digest in digests:
        if digest.size_bytes > small_bytes:
            yield [digest]
            continue
        if group and (total + digest.size_bytes > most_bytes or len(group) == MOST_BATCH_ITEMS):
            yield group
            group, total = [], 0
        group.append(digest)
        total += digest.size_bytes
    if group:
        yield group


async def _send_small(blobs: Blobs, sources: Mapping[Digest, Source]) -> None:
    here = all(isinstance(source, bytes) for source in sources.values())
    loaded = _loaded(sources) if here else await in_thread(_loaded, sources)
    verdicts = await blobs.put_many(loaded)
    for (digest, _), error in zip(loaded, verdicts, strict=True):
        if error is not None:
            raise _blamed(error, sources[digest])


def _loaded(sources: Mapping[Digest, Source]) -> list[tuple[Digest, bytes]]:
    return [(digest, _content(digest, source)) for digest, source in sources.items()]


def _content(digest: Digest, source: Source) -> bytes:
    if isinstance(source, bytes):
        return source
    fd = opened(source)
    try:
        data = os.read(fd, digest.size_bytes + 1)
        while len(data) < digest.size_bytes and (more := os.read(fd, digest.size_bytes - len(data))):
            data += more
    finally:
        os.close(fd)
    if len(data) != digest.size_bytes:
        raise _changed(source)
    return data


async def _send_large(blobs: Blobs, digest: Digest, source: Source) -> None:
    if isinstance(source, bytes):
        await blobs.put(digest, source)
        return
    try:
        await blobs.write(digest, file_opener(source))
    except Error as error:
        raise _blamed(error, source) from error


def file_opener(path: Path) -> Reopen:
    """Opens a file from any offset, for `Blobs.write`."""
    return lambda offset: _file_chunks(path, offset)


async def _file_chunks(path: Path, offset: int) -> AsyncGenerator[bytes, None]:
    fd = opened(path)
    try:
        while chunk := await in_thread(os.pread, fd, CHUNK_BYTES, offset):
            offset += len(chunk)
            yield chunk
    finally:
        os.close(fd)


def opened(path: Path) -> int:
    """A descriptor to read a file with. Raises Error FAILED_PRECONDITION."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(error) from error


def _blamed(error: Error, source: Source) -> Error:
    """A blob that is not what its digest says comes from a file that changed after it was hashed."""
    return _changed(source) if error.code is Code.INVALID_ARGUMENT and isinstance(source, Path) else error


def _changed(path: Path) -> Error:
    return Error(Code.FAILED_PRECONDITION, f"{path} changed while it was uploaded", remedy="Upload it again.")

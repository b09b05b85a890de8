"""Whether everything that an asset needs is in the CAS. Being asked for counts as use, so that it stays (REAPI v2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from google.protobuf.message import DecodeError

from nlserver.errors import invalid
from nlserver.proto import remote_execution_pb2
from nlserver.reapi.digest import Digest, digest_of, is_empty
from nlserver.store import Missing, Store
from nlserver.transfer.limits import MOST_DIRECTORY_BYTES
from nlserver.transfer.spread import spread

_AT_ONCE: Final = 16
_MOST_DIRECTORIES: Final = 200_000
_MOST_HELD_BYTES: Final = 4 << 20
_MOST_NAMED: Final = 1000


async def lacking(store: Store, blobs: Iterable[Digest], roots: Iterable[Digest]) -> list[Digest]:
    """Those of the blobs, and of all below the roots of directories, that are absent: the first ones that are found.

    Raises Error INVALID_ARGUMENT for a root whose tree has blobs that are no directories, or too many of them.
    """

    async def read(digest: Digest) -> bytes | None:
        return await _directory(store, digest)

    missing = await _absent(store, list(dict.fromkeys(blobs)))
    row = deque(dict.fromkeys(roots))
    seen = set(row)
    while row and len(missing) < _MOST_NAMED:
        batch = _batch(row)
        files: dict[Digest, None] = {}
        found = await spread(batch, read, _AT_ONCE)
        for digest, data in zip(batch, found, strict=True):
            if data is None:
                missing.append(digest)
                continue
            directory = _parsed(digest, data)
            files.update((digest_of(node.digest, digest.function), None) for node in directory.files)
            fresh = [child for child in _children(directory, digest) if child not in seen]
            seen.update(fresh)
            row.extend(fresh)
        if len(seen) > _MOST_DIRECTORIES:
            raise invalid(f"an asset of more than {_MOST_DIRECTORIES} directories")
        missing += await _absent(store, list(files))
    return missing[:_MOST_NAMED]


async def _absent(store: Store, digests: Sequence[Digest]) -> list[Digest]:
    wanted = [digest for digest in digests if not is_empty(digest)]
    held = await store.sizes(wanted) if wanted else []
    return [digest for digest, size in zip(wanted, held, strict=True) if size is None]


def _batch(row: deque[Digest]) -> list[Digest]:
    batch = [row.popleft()]
    held = batch[0].size_bytes
    while row and len(batch) < _AT_ONCE * 4 and held + row[0].size_bytes <= _MOST_HELD_BYTES:
        batch.append(row.popleft())
        held += batch[-1].size_bytes
    return batch


async def _directory(store: Store, digest: Digest) -> bytes | None:
    if is_empty(digest):
        return b""
    if digest.size_bytes > MOST_DIRECTORY_BYTES:
        raise invalid(f"directory {digest} is too large: directories have {MOST_DIRECTORY_BYTES} bytes at most")
    try:
        return await store.get(digest)
    except Missing:
        return None


def _parsed(digest: Digest, data: bytes) -> remote_execution_pb2.Directory:
    try:
        return remote_execution_pb2.Directory.FromString(data)
    except DecodeError:
        raise invalid(f"blob {digest} is not a Directory") from None


def _children(directory: remote_execution_pb2.Directory, parent: Digest) -> Iterable[Digest]:
    return dict.fromkeys(digest_of(node.digest, parent.function) for node in directory.directories)

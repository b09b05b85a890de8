"""What is written down of assets: one record for each URI and each set of qualifiers, in the store of a config.

Records stand under free keys, never under digests: whatever a CAS keeps under a digest is what the digest says, also
where a config gives records and blobs one store (NativeLink keeps records under digests that are not theirs).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from blake3 import blake3
from google.protobuf.message import DecodeError

from nlserver.asset.question import Question
from nlserver.errors import Code, Error
from nlserver.proto import asset_pb2
from nlserver.store import Missing, Store

_LARGEST_RECORD: Final = 8 << 20


class Kind(StrEnum):
    """What an asset is."""

    BLOB = "blob"
    DIRECTORY = "directory"


def key_of(kind: Kind, question: Question, uri: str) -> str:
    """The key of a record: the same for the same qualifiers in whatever order, another for everything else."""
    hashed = blake3()
    for part in (kind.value, question.function.name, uri, *(text for pair in question.identity for text in pair)):
        data = part.encode("utf-8", "surrogatepass")
        hashed.update(len(data).to_bytes(8, "big") + data)
    return f"asset-{hashed.hexdigest()}"


class Records:
    """The records in one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, kind: Kind, question: Question, uri: str) -> asset_pb2.Record | None:
        """What is known of this URI with these qualifiers; what is damaged is not known."""
        try:
            data = await self._store.get(key_of(kind, question, uri), _LARGEST_RECORD)
            record = asset_pb2.Record.FromString(data)
        except (Missing, DecodeError):
            return None
        except Error as failure:
            raise _unfit(failure) from failure
        return record if record.uri == uri else None

    async def keep(self, kind: Kind, question: Question, record: asset_pb2.Record) -> None:
        """Write a record down in place of the one before."""
        try:
            await self._store.put(key_of(kind, question, record.uri), record.SerializeToString())
        except Error as failure:
            raise _unfit(failure) from failure


def _unfit(failure: Error) -> Error:
    if failure.code is not Code.INVALID_ARGUMENT:
        return failure
    return Error(
        Code.FAILED_PRECONDITION,
        f"records of assets cannot be kept: {failure.message}",
        remedy="Let fetch_store and push_store name a store that takes other keys than digests, such as filesystem.",
    )

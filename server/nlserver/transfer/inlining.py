"""Small outputs inside of a result, for clients that ask for them (REAPI v2, GetActionResult and Execute)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nlserver.errors import Error
from nlserver.proto import remote_execution_pb2
from nlserver.reapi.digest import Function, digest_of
from nlserver.store import Store
from nlserver.transfer.limits import MOST_INLINE_BYTES


class Hints(Protocol):
    """GetActionResultRequest or ExecuteRequest."""

    @property
    def inline_stdout(self) -> bool:
        """Standard output is wanted."""
        ...

    @property
    def inline_stderr(self) -> bool:
        """Standard error is wanted."""
        ...

    @property
    def inline_output_files(self) -> Sequence[str]:
        """The paths of the files that are wanted."""
        ...


def anything_wanted(hints: Hints) -> bool:
    """Whether a client asks for anything to be inlined."""
    return bool(hints.inline_stdout or hints.inline_stderr or hints.inline_output_files)


async def inline(
    result: remote_execution_pb2.ActionResult, hints: Hints, blobs: Store, function: Function, room: int
) -> None:
    """Put what is wanted into a result as long as it is small and there is room; the digests stay."""

    async def content(message: remote_execution_pb2.Digest, present: bytes) -> bytes:
        nonlocal room
        size = message.size_bytes
        if present or not 0 < size <= min(MOST_INLINE_BYTES, room):
            return present
        try:
            data = await blobs.get(digest_of(message, function), MOST_INLINE_BYTES)
        except Error:
            # A hint: whoever needs the blob asks for it and learns what is wrong.
            return b""
        room -= len(data)
        return data

    if hints.inline_stdout:
        result.stdout_raw = await content(result.stdout_digest, result.stdout_raw)
    if hints.inline_stderr:
        result.stderr_raw = await content(result.stderr_digest, result.stderr_raw)
    wanted = frozenset(hints.inline_output_files)
    for file in result.output_files:
        if file.path in wanted:
            file.contents = await content(file.digest, file.contents)

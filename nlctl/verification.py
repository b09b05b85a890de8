"""Hashing what a CAS stores: every byte is read and compared with its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from nlserver.errors import Code, Error
from nlserver.reapi.blobs import SMALL_BYTES
from nlserver.reapi.client import Client
from nlserver.reapi.digest import Digest, Function
from nlserver.reapi.parallel import each
from nlserver.reapi.uploads import grouped

_AT_ONCE: Final = 4


@dataclass
class Verified:
    """What was found. `checked` blobs were read to their end, or to the damage."""

    checked: int = 0
    checked_bytes: int = 0
    corrupt: dict[Digest, str] = field(default_factory=dict)
    missing: dict[Digest, None] = field(default_factory=dict)


async def verify(
    remote: Client, wanted: Sequence[Digest], progress: Callable[[Verified], None], *, any_function: bool = False
) -> Verified:
    """Read all of these. `any_function` also takes a blob for good whose name is its hash by the other function.

    Names of files do not tell the function. Raises Error for everything but damage and absence.
    """
    done = Verified()
    limit = await remote.blobs.batch_limit() if wanted else 0
    small = min(SMALL_BYTES, limit)

    async def look(group: list[Digest]) -> None:
        if group[0].size_bytes > small:
            await _take(remote, group[0], await _read(remote, group[0]), done, any_function=any_function)
        else:
            for digest, outcome in zip(group, await remote.blobs.get_many(group), strict=True):
                error = outcome if isinstance(outcome, Error) else None
                await _take(remote, digest, error, done, any_function=any_function)
        progress(done)

    await each(grouped(wanted, small, limit), look, _AT_ONCE)
    return done


async def _read(remote: Client, digest: Digest) -> Error | None:
    try:
        async with aclosing(remote.stream(digest)) as chunks:
            async for _ in chunks:
                pass
    except Error as error:
        return error
    return None


async def _take(remote: Client, digest: Digest, error: Error | None, done: Verified, *, any_function: bool) -> None:
    if error is not None and error.code is Code.DATA_LOSS and any_function:
        other = Function.BLAKE3 if digest.function is Function.SHA256 else Function.SHA256
        error = error if await _read(remote, digest._replace(function=other)) else None
    if error is None or error.code is Code.DATA_LOSS:
        done.checked += 1
        done.checked_bytes += digest.size_bytes
    if error is None:
        return
    if error.code is Code.DATA_LOSS:
        done.corrupt[digest] = error.message
    elif error.code is Code.NOT_FOUND:
        done.missing[digest] = None
    else:
        raise error

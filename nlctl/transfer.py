"""Blobs from one CAS into another: only what that lacks, verified by both, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from nlserver.errors import Code, Error
from nlserver.reapi.blobs import SMALL_BYTES
from nlserver.reapi.client import Client
from nlserver.reapi.digest import Digest
from nlserver.reapi.parallel import each
from nlserver.reapi.uploads import grouped

from nlctl.objects import Closure

_AT_ONCE: Final = 4


@dataclass
class Copied:
    """What a copy came to. `lost` are blobs that the source could not give."""

    blobs: int = 0
    present: int = 0
    copied: dict[Digest, None] = field(default_factory=dict)
    lost: dict[Digest, None] = field(default_factory=dict)

    @property
    def copied_bytes(self) -> int:
        """The bytes that travelled."""
        return sum(one.size_bytes for one in self.copied)


async def copy(
    source: Client, destination: Client, wanted: Closure, progress: Callable[[Copied], None], *, dry: bool = False
) -> Copied:
    """Copy what the destination lacks: files first, and each message after those that it names.

    So nobody who sees an object there misses what it leads to. `dry` only asks. Raises Error, but not for blobs that
    the source lacks.
    """
    done = Copied(blobs=len(wanted.digests))
    absent = await destination.missing(wanted.digests)
    done.present = done.blobs - len(absent)
    rows = ([one for one in row if one in absent] for row in (wanted.files, wanted.messages))
    files, messages = rows
    if dry:
        found = await source.missing(absent)
        done.copied = {one: None for one in (*files, *messages) if one not in found}
        done.lost = {one: None for one in (*files, *messages) if one in found}
        return done
    for row in (files, messages):
        await _copy(
            source, destination, list(dict.fromkeys(row)), done, progress, at_once=_AT_ONCE if row is files else 1
        )
    return done


async def _copy(
    source: Client,
    destination: Client,
    wanted: Sequence[Digest],
    done: Copied,
    progress: Callable[[Copied], None],
    *,
    at_once: int,
) -> None:
    limit = min(await source.blobs.batch_limit(), await destination.blobs.batch_limit()) if wanted else 0
    small = min(SMALL_BYTES, limit)

    async def send(group: list[Digest]) -> None:
        if group[0].size_bytes > small:
            await _large(source, destination, group[0], done)
        else:
            await _small(source, destination, group, done)
        progress(done)

    await each(grouped(wanted, small, limit), send, at_once)


async def _small(source: Client, destination: Client, group: Sequence[Digest], done: Copied) -> None:
    found: list[tuple[Digest, bytes]] = []
    for digest, outcome in zip(group, await source.blobs.get_many(group), strict=True):
        if isinstance(outcome, bytes):
            found.append((digest, outcome))
        else:
            _lost(outcome, digest, done)
    for (digest, _), error in zip(found, await destination.blobs.put_many(found), strict=True):
        if error is not None:
            raise error
        done.copied[digest] = None


async def _large(source: Client, destination: Client, digest: Digest, done: Copied) -> None:
    try:
        await destination.blobs.write(digest, lambda offset: source.stream(digest, offset))
    except Error as error:
        _lost(error, digest, done)
    else:
        done.copied[digest] = None


def _lost(error: Error, digest: Digest, done: Copied) -> None:
    if error.code is not Code.NOT_FOUND:
        raise error
    done.lost[digest] = None

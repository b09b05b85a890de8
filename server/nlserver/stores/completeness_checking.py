"""An action cache that answers only with results whose outputs are all there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from google.protobuf.message import DecodeError

from nlserver import log
from nlserver.errors import Code, Error, invalid
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.closure import Directories, Named, named_by
from nlserver.reapi.digest import Digest, Function
from nlserver.reapi.parallel import each
from nlserver.spec import Site
from nlserver.store import Key, Missing, Store, StoreSpec, Wrapper
from nlserver.streams import OFF_LOOP_BYTES, closing, once, part
from nlserver.transfer.limits import MOST_DIRECTORY_BYTES

_MOST_TREE_BYTES: Final = 64 << 20
_LARGE_TREE_BYTES: Final = 1 << 20
_LARGE_AT_ONCE: Final = 2
_RESULTS_AT_ONCE: Final = 16
_DIRECTORIES_AT_ONCE: Final = 16
_DIGESTS_AT_ONCE: Final = 4096
_UNUSABLE: Final = frozenset({Code.INVALID_ARGUMENT, Code.DATA_LOSS})


@dataclass(frozen=True, kw_only=True)
class CompletenessCheckingSpec(StoreSpec, tag="completeness_checking"):
    """Hides action results of which an output is missing from the CAS.

    Looked for are output files, stdout and stderr, the Tree of each output directory and every file in it, and where
    a result names one, its `root_directory_digest` and all below it. All of them count as used then, so that they stay
    for clients that fetch them later. A result that is malformed, or whose Trees have more than 64 MiB, is hidden too.
    """

    backend: StoreSpec
    """The action cache."""
    cas_store: StoreSpec
    """Where the outputs must be: usually a `ref_store`."""

    def build(self, site: Site) -> Store:
        """A wrapper around the backend."""
        return CompletenessChecking(self.backend.build(site), self.cas_store.build(site))


class CompletenessChecking(Wrapper):
    """Reads and `sizes` see complete results only; writes pass. Values are serialised ActionResults.

    A CAS that cannot answer is its Error, not a miss: NativeLink takes it for one.
    """

    def __init__(self, backend: Store, cas: Store) -> None:
        super().__init__(backend)
        self._cas = cas
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._reads = asyncio.Semaphore(_DIRECTORIES_AT_ONCE)

    async def sizes(self, keys: Sequence[Key]) -> list[int | None]:
        """The bytes of the results that are complete; each of them is read for it."""
        found: dict[Key, int] = {}

        async def look(key: Key) -> None:
            with suppress(Missing):
                found[key] = len(await self.get(key))

        await each(dict.fromkeys(keys), look, _RESULTS_AT_ONCE)
        return [found.get(key) for key in keys]

    async def read(self, key: Key, offset: int = 0, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """As `get`."""
        async with closing(part(once(await self.get(key)), offset, limit)) as pieces:
            async for piece in pieces:
                yield piece

    async def get(self, key: Key, most: int = 64 << 20) -> bytes:
        """The result. Raises Missing also when something that it names is."""
        data = await self.backend.get(key, most)
        function = key.function if isinstance(key, Digest) else Function.SHA256
        try:
            await self._expect(_parsed(data), function)
        except Error as lack:
            if not isinstance(lack, Missing) and lack.code not in _UNUSABLE:
                raise
            log.info("An action result is hidden because it is not complete", action=key, reason=lack)
            raise Missing(key, message=f"the result of action {key} is not complete: {lack}") from None
        return data

    def children(self) -> Mapping[str, Store]:
        """The action cache and the CAS."""
        return {"backend": self.backend, "cas_store": self._cas}

    async def _expect(self, result: re_pb.ActionResult, function: Function) -> None:
        """Return when all that the result names is there, and was used just now. Raises Missing, or Error."""
        named = named_by(result, function)
        total = sum(tree.size_bytes for tree in named.trees)
        if total > _MOST_TREE_BYTES:
            raise invalid(f"its Trees have {total} bytes; {_MOST_TREE_BYTES} are the most")
        await self._present((*named.blobs, *named.trees, *named.roots))
        if total > _LARGE_TREE_BYTES:
            async with self._large:
                await self._expect_below(named, function, total)
        elif named.trees or named.roots:
            await self._expect_below(named, function, total)

    async def _expect_below(self, named: Named, function: Function, total: int) -> None:
        directories = Directories(function)
        for tree in named.trees:
            data = await self._cas.get(tree, tree.size_bytes)
            await self._files_present(directories.add_tree(data), len(data))
        row, seen = list(named.roots), set(named.roots)
        while row:
            if unread := [digest for digest in row if digest not in directories.below]:
                total += sum(digest.size_bytes for digest in unread)
                if total > _MOST_TREE_BYTES or any(digest.size_bytes > MOST_DIRECTORY_BYTES for digest in unread):
                    raise invalid(f"its directories have {total} bytes; {_MOST_TREE_BYTES} are the most")
                await each(unread, lambda digest: self._read(directories, digest), _DIRECTORIES_AT_ONCE)
            row = [child for child in _below(row, directories) if child not in seen]
            seen.update(row)
            await self._present(row)

    async def _read(self, directories: Directories, digest: Digest) -> None:
        async with self._reads:
            data = await self._cas.get(digest, digest.size_bytes)
            await self._files_present(directories.add(data), len(data))

    async def _files_present(self, files: Iterator[Digest], size: int) -> None:
        """Take the files of `size` bytes of directories; many of them are a thread's work."""

        def taken() -> list[Digest]:
            return list(islice(files, _DIGESTS_AT_ONCE))

        while batch := await asyncio.to_thread(taken) if size >= OFF_LOOP_BYTES else taken():
            await self._present(batch)

    async def _present(self, digests: Iterable[Digest]) -> None:
        """Raise Missing for those that the CAS lacks; the others are used now."""
        row = list(dict.fromkeys(digests))
        for start in range(0, len(row), _DIGESTS_AT_ONCE):
            batch = row[start : start + _DIGESTS_AT_ONCE]
            sizes = await self._cas.sizes(batch)
            if lost := [digest for digest, size in zip(batch, sizes, strict=True) if size is None]:
                raise Missing(*lost[:3])


def _parsed(data: bytes) -> re_pb.ActionResult:
    try:
        if data:
            return re_pb.ActionResult.FromString(data)
    except DecodeError:
        pass
    raise invalid("it is damaged")


def _below(row: Iterable[Digest], directories: Directories) -> list[Digest]:
    return list(dict.fromkeys(child for digest in row for child in directories.below[digest]))

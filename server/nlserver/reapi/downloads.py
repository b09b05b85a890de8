"""Downloads of many blobs, and of whole results into a directory."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from nlserver.errors import Error
from nlserver.fs import failing, in_thread, write_all
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.blobs import SMALL_BYTES, Blobs
from nlserver.reapi.digest import Digest, Function
from nlserver.reapi.outputs import OutputFile, Place, Plan, plan_of, plan_of_tree, trees_of
from nlserver.reapi.parallel import each
from nlserver.reapi.tree import Tree, tree_of
from nlserver.reapi.uploads import grouped

_AT_ONCE: Final = 4
_FILES_BYTES: Final = 1 << 20
"""The most bytes of small files in a call: with more, one waits longer for the other than a call costs (measured)."""


async def read_many(blobs: Blobs, digests: Iterable[Digest]) -> dict[Digest, bytes]:
    """Whole blobs, verified. Raises Missing or another Error for the first that cannot be had."""
    found: dict[Digest, bytes] = {}
    wanted = list(dict.fromkeys(digests))

    async def fetch(group: list[Digest]) -> None:
        if len(group) == 1:
            found[group[0]] = await blobs.get(group[0])
            return
        for digest, outcome in zip(group, await blobs.get_many(group), strict=True):
            found[digest] = _bytes(outcome)

    limit = await blobs.batch_limit() if len(wanted) > 1 else 0
    await each(grouped(wanted, min(SMALL_BYTES, limit), limit), fetch, _AT_ONCE)
    return {digest: found[digest] for digest in wanted}


def _bytes(outcome: bytes | Error) -> bytes:
    if isinstance(outcome, Error):
        raise outcome
    return outcome


async def download(blobs: Blobs, digest: Digest, path: Path, *, executable: bool = False) -> None:
    """A blob as a file that takes its name when it is whole and verified. Raises Missing, Error."""
    with closing(await in_thread(Place, os.fspath(path.parent))) as place:
        await _download(blobs, place, OutputFile(path.name, digest, executable))


async def _download(blobs: Blobs, place: Place, file: OutputFile) -> None:
    with place.file(file.path, executable=file.executable) as fd:
        await blobs.pour(file.digest, lambda chunk: write_all(fd, (chunk,)))


async def download_result(
    blobs: Blobs, result: re_pb.ActionResult, into: Path, *, working_directory: str, function: Function
) -> None:
    """All outputs of a result below `into`, which stands for the input root.

    Raises Missing or another Error; what was laid out before stays, each file whole.
    """
    named = trees_of(result, function)
    trees: Mapping[Digest, Tree] = {
        digest: await in_thread(tree_of, data, function) for digest, data in (await read_many(blobs, named)).items()
    }
    await _lay_out(blobs, plan_of(result, working_directory, trees, function), into)


async def download_tree(blobs: Blobs, tree: Tree, into: Path) -> None:
    """An input root as `into`, which appears when all of it is there and verified, or not at all.

    Raises Missing or another Error, also when something stands there that is no empty directory.
    """
    whole = Path(os.path.abspath(into))
    fresh = whole.with_name(f".{whole.name[:100]}.{os.getpid()}.tmp")
    try:
        await _lay_out(blobs, await in_thread(plan_of_tree, tree), fresh, fresh=True)
        with failing(f"making {whole}"):
            await in_thread(os.rename, fresh, whole)
    finally:
        await in_thread(shutil.rmtree, fresh, ignore_errors=True)


async def _lay_out(blobs: Blobs, plan: Plan, into: Path, *, fresh: bool = False) -> None:
    with closing(await in_thread(Place, os.fspath(into), fresh=fresh)) as place:
        await in_thread(_make_directories, place, plan)
        await _download_files(blobs, place, plan.files)
        await in_thread(_make_symlinks, place, plan)


def _make_directories(place: Place, plan: Plan) -> None:
    for path in plan.directories:
        place.make_directory(path)


def _make_symlinks(place: Place, plan: Plan) -> None:
    for path, target in plan.symlinks.items():
        place.make_symlink(path, target)


async def _download_files(blobs: Blobs, place: Place, files: Sequence[OutputFile]) -> None:
    wanted: dict[Digest, list[OutputFile]] = {}
    for file in files:
        wanted.setdefault(file.digest, []).append(file)
    limit = await blobs.batch_limit() if wanted else 0
    small_bytes = min(SMALL_BYTES, limit)
    # Threads that write small files fight for the interpreter and for the directory more than they gain (measured).
    writing = asyncio.Lock()

    async def fetch(group: list[Digest]) -> None:
        if group[0].size_bytes > small_bytes:
            for file in wanted[group[0]]:
                await _download(blobs, place, file)
            return
        contents = [_bytes(outcome) for outcome in await blobs.get_many(group)]
        files = ((file, data) for digest, data in zip(group, contents, strict=True) for file in wanted[digest])
        async with writing:
            await in_thread(place.write, files)

    await each(grouped(wanted, small_bytes, min(limit, _FILES_BYTES)), fetch, _AT_ONCE)

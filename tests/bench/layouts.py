"""How many files a second an input tree is laid out with, looked at afterwards, and removed, when its blobs are local.

    .venv/bin/python tests/bench/layouts.py [FILES [FILES_A_DIRECTORY [SCRATCH]]]

The first time brings every blob into the fast store, durably; the second finds them there. Rates are by the clock and,
since other work on the machine does not change it, by this process's processor time.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import uvloop
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi import tree
from nlserver.reapi.digest import Digest, of
from nlserver.spec import Site
from nlserver.store import Store
from nlserver.stores.fast_slow import FastSlowSpec
from nlserver.stores.filesystem import FilesystemSpec
from nlserver.stores.memory import MemorySpec
from nlserver.worker import guard, inputs
from nlserver.worker.action import Cas
from nlserver.worker.workspace import Workspace


@contextmanager
def measured(what: str, files: int) -> Iterator[None]:
    """Print how long the block took."""
    begun, spent = time.perf_counter(), time.process_time()
    yield
    took, spent = time.perf_counter() - begun, time.process_time() - spent
    print(f"  {what:<34} {took * 1e3:8.1f} ms {files / took:10,.0f} files/s {files / spent:10,.0f} files/CPU s")


async def uploaded(cas: Store, files: int, in_each: int) -> Digest:
    """An input tree of small files, every fourth executable, in directories of one level."""
    root = re_pb.Directory()
    for number in range(0, files, in_each):
        directory = re_pb.Directory()
        for name in range(number, min(files, number + in_each)):
            data = b"content of file %d" % name
            await cas.put(of(data), data)
            node = directory.files.add(name=f"file-{name:06}.h", is_executable=name % 4 == 0)
            tree.set_digest(node.digest, of(data))
        blob = tree.blob_of(directory)
        await cas.put(blob.digest, blob.data)
        tree.set_digest(root.directories.add(name=f"directory-{number:06}").digest, blob.digest)
    blob = tree.blob_of(root)
    await cas.put(blob.digest, blob.data)
    return blob.digest


async def main(files: int, in_each: int, scratch: str) -> None:
    """Print the table."""
    tasks: list[asyncio.Future[None]] = []
    site = Site(spawn=lambda work, _name: tasks.append(asyncio.ensure_future(work)))
    slow = MemorySpec()
    fast = FilesystemSpec(content_path=f"{scratch}/content", temp_path=f"{scratch}/temp")
    store = FastSlowSpec(fast=fast, slow=slow).build(site)
    root = await uploaded(store.children()["slow"], files, in_each)
    cas, workspace = cast(Cas, store), Workspace(f"{scratch}/work")
    resolver = inputs.Resolver(cas, store.children()["slow"])
    print(f"{files} files, {in_each} a directory, in {scratch}")
    for turn in ("first", "second", "third"):
        print(f" the {turn} time")
        directory = workspace.directory(turn)

        def made(directory=directory) -> str:  # type: ignore[no-untyped-def]
            workspace.create(directory)
            return cast(str, directory.root)

        with measured("resolve and lay out", files):
            with measured("resolve", files):
                layout = await resolver.resolve(root)
            await inputs.lay_out(layout, made, (), cas)
        lent = guard.Lent(layout, guard.file_time_ns())
        with measured("look for changes", files):
            assert not await asyncio.to_thread(lent.changed, directory.root, workspace.path, cas.local)
        with measured("remove", files):
            await asyncio.to_thread(workspace.remove, directory)
    for task in tasks:
        task.cancel()
    await site.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as default:
        count, each, where = (*sys.argv[1:], *("10000", "100", default)[len(sys.argv) - 1 :])
        os.makedirs(where, exist_ok=True)
        uvloop.run(main(int(count), int(each), where))

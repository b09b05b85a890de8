"""Any input root is laid out exactly as it says, or refused; what an action does to it is found afterwards."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import Digest, digest_of, of
from nlserver.reapi.tree import set_digest
from nlserver.spec import Site
from nlserver.store import Missing
from nlserver.stores.fast_slow import FastSlowSpec
from nlserver.stores.filesystem import FilesystemSpec
from nlserver.stores.memory import MemorySpec
from nlserver.worker import guard, inputs
from nlserver.worker.workspace import Workspace

from tests.fuzz.executions import fuzz
from tests.fuzz.messages import messages
from tests.server.worker.shop import left

CONTENTS = (b"", b"one", b"two", bytes(70_000))
GONE = of(b"nobody has this")

names = st.sampled_from(
    [
        *("a", "b", "c", "out"),
        *("\n", " ", "-", "\u00e9", "e\u0301", "x" * 255, "a=b"),
        *("", ".", "..", "a/b", "/", "a\0", "y" * 256),
    ]
)
known = st.sampled_from([re_pb.Digest(hash=of(data).hash, size_bytes=len(data)) for data in CONTENTS])
digests = st.one_of(
    known, known, known, known, st.sampled_from([re_pb.Digest(), re_pb.Digest(hash=GONE.hash, size_bytes=15)])
)
targets = st.sampled_from(["a", "..", "../../../elsewhere", "/nonexistent", "a/../b", "", "z" * 5000, "\0"])
fields = {
    "FileNode.name": names,
    "FileNode.digest": digests,
    "SymlinkNode.name": names,
    "SymlinkNode.target": targets,
    "NodeProperties.unix_mode": messages(re_pb.NodeProperties().unix_mode.__class__),
}
good_names = st.sampled_from(["a", "b", "c", "d", "\n", "\u00e9", "x" * 255, "-rf"])
good_fields = {**fields, "FileNode.name": good_names, "SymlinkNode.name": good_names, "FileNode.digest": known}


@st.composite
def roots(draw: st.DrawFn) -> list[re_pb.Directory]:
    """Directories of which each may stand in later ones; the last is the root."""
    good = draw(st.booleans())
    files = messages(re_pb.FileNode, good_fields if good else fields)
    links = messages(re_pb.SymlinkNode, good_fields if good else fields)
    made: list[re_pb.Directory] = []
    for _ in range(draw(st.integers(1, 5))):
        unique = {"unique_by": lambda node: node.name} if good else {}
        directory = re_pb.Directory(
            files=draw(st.lists(files, max_size=3, **unique)), symlinks=draw(st.lists(links, max_size=1))
        )
        for below in draw(st.lists(st.sampled_from(made), max_size=2)) if made else ():
            name = draw(st.sampled_from(["a", "sub", "sub2"]) if not good else st.uuids().map(str))
            set_digest(directory.directories.add(name=name).digest, of(below.SerializeToString()))
        made.append(directory)
    return made


class Place:
    """A store, and a work directory beside a place that nobody may touch."""

    def __init__(self, path: Path) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.site = Site(spawn=self._spawn)
        fast = FilesystemSpec(content_path=str(path / "content"), temp_path=str(path / "temp"))
        self.store: Any = FastSlowSpec(fast=fast, slow=MemorySpec()).build(self.site)
        self.workspace = Workspace(str(path / "work"))

    def _spawn(self, coroutine: Any, name: str) -> None:
        self.tasks.add(asyncio.create_task(coroutine, name=name))

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.site.close()
        self.workspace.close()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    for data in CONTENTS:
        if data:
            await made.store.put(of(data), data)
    (tmp_path / "elsewhere").mkdir()
    yield made
    await made.close()
    assert os.listdir(tmp_path / "elsewhere") == []


def expected(root: re_pb.Directory, known: dict[Digest, re_pb.Directory], at: str = "") -> Iterator[tuple[str, object]]:
    """Every path with what stands there."""
    for file in root.files:
        yield f"{at}{file.name}", file
    for link in root.symlinks:
        yield f"{at}{link.name}", link.target
    for below in root.directories:
        yield f"{at}{below.name}", None
        yield from expected(known.get(digest_of(below.digest), re_pb.Directory()), known, f"{at}{below.name}/")


def check_file(path: str, file: re_pb.FileNode) -> None:
    status = os.lstat(path)
    properties = file.node_properties
    assert stat.S_ISREG(status.st_mode)
    assert of(Path(path).read_bytes()) == digest_of(file.digest)
    private = properties.HasField("unix_mode") or properties.HasField("mtime") or not file.digest.size_bytes
    if not private:
        assert stat.S_IMODE(status.st_mode) == (0o555 if file.is_executable else 0o444)
    elif properties.HasField("unix_mode"):
        wanted = properties.unix_mode.value & 0o777 | (0o111 if file.is_executable else 0)
        assert stat.S_IMODE(status.st_mode) == wanted
    assert not private or status.st_nlink == 1


@fuzz(120, roots())
async def test_an_input_root_is_laid_out_as_it_says_or_refused(place: Place, made: list[re_pb.Directory]) -> None:
    for directory in made:
        data = directory.SerializeToString()
        if data:
            await place.store.put(of(data), data)
    own = place.workspace.directory("op")

    def begin() -> str:
        place.workspace.create(own)
        return own.root

    descriptors = len(os.listdir("/proc/self/fd"))
    code, absent = Code.OK, ()
    try:
        layout = await inputs.Resolver(place.store, place.store).resolve(of(made[-1].SerializeToString()))
        await inputs.lay_out(layout, begin, ["out/deep"], place.store)
    except Missing as missing:
        code, absent = missing.code, missing.keys
    except Error as error:
        str(error).encode()
        code = error.code
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert code in (Code.OK, Code.NOT_FOUND, Code.INVALID_ARGUMENT)
    assert set(absent) <= {GONE}
    if code is Code.OK:
        known = {of(directory.SerializeToString()): directory for directory in made}
        told = dict(expected(made[-1], known))
        for path, node in told.items():
            full = f"{own.root}/{path}"
            if isinstance(node, re_pb.FileNode):
                check_file(full, node)
            elif isinstance(node, str):
                assert os.readlink(full) == node
            else:
                assert stat.S_ISDIR(os.lstat(full).st_mode)
        there = {
            os.path.relpath(f"{parent}/{name}", own.root)
            for parent, names, files in os.walk(own.root)
            for name in (*names, *files)
        }
        assert there - set(told) <= {"out", "out/deep"}
        assert (
            guard.Lent(layout, guard.file_time_ns() + 1).changed(own.root, place.workspace.path, place.store.local)
            == []
        )
    place.workspace.remove(own)
    assert left(place.workspace.path) == []


@st.composite
def harms(draw: st.DrawFn) -> list[tuple[str, bytes]]:
    kinds = st.sampled_from(["append", "overwrite", "chmod", "unlink", "rename", "harmless"])
    return draw(st.lists(st.tuples(kinds, st.binary(min_size=1, max_size=5)), min_size=1, max_size=4))


@fuzz(60, harms(), st.booleans())
async def test_whatever_an_action_does_to_its_inputs_the_store_gives_true_ones_again(
    place: Place, done: list[tuple[str, bytes]], executable: bool
) -> None:
    digest = of(b"one")
    root = re_pb.Directory(files=[re_pb.FileNode(name=name, is_executable=executable) for name in ("a", "b")])
    for file in root.files:
        set_digest(file.digest, digest)
    await place.store.put(of(root.SerializeToString()), root.SerializeToString())
    own = place.workspace.directory("op")

    def begin() -> str:
        place.workspace.create(own)
        return own.root

    for round_ in range(2):
        layout = await inputs.Resolver(place.store, place.store).resolve(of(root.SerializeToString()))
        await inputs.lay_out(layout, begin, [], place.store)
        for name in "ab":
            assert Path(f"{own.root}/{name}").read_bytes() == b"one"
        if round_ == 0:
            lent = guard.Lent(layout, guard.file_time_ns())
            for kind, data in done:
                harm(f"{own.root}/a", kind, data)
            for changed in lent.changed(own.root, place.workspace.path, place.store.local):
                await place.store.local.remove(changed)
        place.workspace.remove(own)


def harm(path: str, kind: str, data: bytes) -> None:
    if not os.path.lexists(path):
        return
    match kind:
        case "append" | "overwrite":
            os.chmod(path, 0o644)
            fd = os.open(path, os.O_WRONLY | (os.O_APPEND if kind == "append" else 0))
            os.write(fd, data)
            os.close(fd)
        case "chmod":
            os.chmod(path, data[0] << 4 & 0o7777)
        case "unlink":
            os.unlink(path)
        case "rename":
            os.rename(path, f"{path}.old")
        case _:
            Path(path).read_bytes()

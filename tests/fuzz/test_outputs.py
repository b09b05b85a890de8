"""Whatever an action leaves is told exactly, or refused with the right code; nothing else is read, nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.action import Outputs
from nlserver.reapi.digest import Function, digest_of, of
from nlserver.worker.finish import Stop
from nlserver.worker.outputs import Blobs, Collector, OnDisk
from nlserver.worker.workspace import ActionDirectory, Workspace

from tests.fuzz import filesystem
from tests.fuzz.executions import TIMES, executed, fuzz
from tests.fuzz.filesystem import SECRET, Directory, File, Link, Node, Sparse
from tests.fuzz.powers import ordinary
from tests.server.worker.shop import left


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[Path]:
    """A file beside the work directory that nobody may read or change."""
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    path.chmod(0o400)
    yield path
    assert (path.read_bytes(), path.stat().st_mode & 0o7777) == (SECRET, 0o400)


@pytest.fixture
def workspace(tmp_path: Path, secret: Path) -> Iterator[Workspace]:
    made = Workspace(str(tmp_path / "work"))
    yield made
    made.close()


def collect(own: ActionDirectory, paths: list[str], *, modern: bool) -> tuple[re_pb.ActionResult, Blobs, Code]:
    result, blobs = re_pb.ActionResult(), Blobs(Function.SHA256)
    try:
        Collector(Stop(), own.root, own.path, blobs, result).collect(
            Outputs(tuple((path, path) for path in paths), modern)
        )
    except Error as error:
        str(error).encode()
        return result, blobs, error.code
    return result, blobs, Code.OK


def content(source: bytes | OnDisk) -> bytes:
    return source if isinstance(source, bytes) else Path(source.path).read_bytes()


def check_told(top: Node, paths: list[str], result: re_pb.ActionResult, blobs: Blobs, *, modern: bool) -> None:
    """The result names exactly the outputs that there are, each as what it is."""
    there = {path: filesystem.found(top, tuple(path.encode().split(b"/")) if path else ()) for path in paths}
    assert {file.path for file in result.output_files} == {
        path for path, node in there.items() if isinstance(node, File | Sparse)
    }
    for file in result.output_files:
        node = there[file.path]
        data = node.data if isinstance(node, File) else bytes(node.size)  # type: ignore[union-attr]
        assert digest_of(file.digest) == of(data)
    links = {path for path, node in there.items() if isinstance(node, Link)}
    told = [*result.output_file_symlinks, *result.output_directory_symlinks]
    assert {link.path for link in told} == links
    assert {(link.path, link.target) for link in result.output_symlinks} == (
        {(link.path, link.target) for link in told} if modern else set()
    )
    assert {output.path for output in result.output_directories} == {
        path for path, node in there.items() if isinstance(node, Directory)
    }
    for output in result.output_directories:
        tree = re_pb.Tree.FromString(content(blobs.found[digest_of(output.tree_digest)]))
        children = {of(child.SerializeToString()): child for child in (tree.root, *tree.children)}
        assert filesystem.agrees(there[output.path], tree.root, children)  # type: ignore[arg-type]
        assert digest_of(output.root_directory_digest) in children


paths = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "out", "d", "a\nb"]), max_size=3).map("/".join), max_size=4, unique=True
)


@fuzz(150, filesystem.directories, paths, st.booleans())
def test_outputs_are_told_as_they_are_or_refused(
    workspace: Workspace, secret: Path, tree: Directory, paths: list[str], modern: bool
) -> None:
    own = workspace.directory("op")
    with ordinary():
        workspace.create(own)
        try:
            os.rmdir(own.root)
            with opened(own.path) as fd:
                filesystem.make(tree, b"work", fd, own.root.encode(), os.fsencode(secret))
            os.chmod(own.root, 0o755)
            check_collecting(own, tree, paths, modern=modern)
        finally:
            workspace.remove(own)
        assert left(workspace.path) == []


def check_collecting(own: ActionDirectory, tree: Directory, paths: list[str], *, modern: bool) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    result, blobs, code = collect(own, paths, modern=modern)
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    wanted = [filesystem.found(tree, tuple(path.encode().split(b"/")) if path else ()) for path in paths]
    refusals = {code for node in wanted if node is not None for code in filesystem.refusals(node)}
    assert code in (refusals or {Code.OK})
    if code is Code.OK:
        check_told(tree, paths, result, blobs, modern=modern)
    for digest, source in blobs.found.items():
        assert of(content(source)) == digest
    assert of(SECRET) not in blobs.found


@contextmanager
def opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


MISCHIEF = """
import os, shutil, sys
root, secret, beside = sys.argv[1:]
os.chdir(root)
open(beside + "/ready", "w").close()
kinds = [
    lambda name: os.symlink(secret, name), lambda name: os.symlink(os.path.dirname(secret), name),
    lambda name: os.mkfifo(name), lambda name: os.mkdir(name), lambda name: os.mkdir(name, 0),
    lambda name: open(name, "w").write("x" * 70000),
    lambda name: os.symlink("..", name), lambda name: os.close(os.open(name, os.O_CREAT, 0)),
]

def inside(path):
    # It does no harm through its own links: what is harmed is harmed by whoever follows them.
    fd = os.open(".", os.O_RDONLY)
    for segment in path.split("/"):
        below = os.open(segment, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd

number = 0
while True:
    number += 1
    kinds[number % len(kinds)](f"new{number}")
    parent, name = ((".", "out"), ("out", "x"), ("out", "y"), ("out", "secret"), ("out/y", "secret"))[number % 5]
    try:
        fd = inside(parent)
    except OSError:
        continue
    for old, new, source, target in ((name, f"old{number}", fd, None), (f"new{number}", name, None, fd)):
        try:
            os.rename(old, new, src_dir_fd=source, dst_dir_fd=target)
        except OSError:
            pass
    os.close(fd)
    if number % 97 == 0:
        for entry in os.listdir("."):
            if os.path.isdir(entry) and not os.path.islink(entry):
                os.chmod(entry, 0o700)
                shutil.rmtree(entry, ignore_errors=True)
            else:
                os.unlink(entry)
        os.makedirs("out/y", exist_ok=True)
"""


def test_nothing_outside_is_collected_while_a_process_changes_everything_all_the_time(
    workspace: Workspace, secret: Path, tmp_path: Path
) -> None:
    own = workspace.directory("op")
    workspace.create(own)
    os.makedirs(f"{own.root}/out/y")
    command = [sys.executable, "-c", MISCHIEF, own.root, str(secret), str(tmp_path)]
    rounds, codes = 300 * TIMES, set()
    with subprocess.Popen(command) as mischief:
        try:
            while not (tmp_path / "ready").exists():
                assert mischief.poll() is None
            for _ in range(rounds):
                executed()
                with ordinary():
                    result, blobs, code = collect(own, ["out", "out/x", "out/secret", "out/y/secret"], modern=True)
                codes.add(code)
                assert of(SECRET) not in blobs.found
                assert not [file for file in result.output_files if digest_of(file.digest) == of(SECRET)]
                for source in blobs.found.values():
                    if isinstance(source, OnDisk):
                        os.unlink(source.path)
            assert mischief.poll() is None
        finally:
            mischief.kill()
    assert codes <= {Code.OK, Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT}
    workspace.remove(own)
    assert left(workspace.path) == []

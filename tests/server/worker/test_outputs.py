"""Collecting what actions leave, hostile leavings included."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.action import Outputs
from nlserver.reapi.digest import Digest, Function, digest_of, of
from nlserver.reapi.tree import tree_of
from nlserver.spec import Site
from nlserver.stores.memory import MemorySpec
from nlserver.worker.finish import Stop
from nlserver.worker.outputs import MOST_DEPTH, Blobs, Collector, OnDisk, add_stream, upload


def collected(root: Path, *paths: str, modern: bool = True) -> tuple[re_pb.ActionResult, Blobs]:
    result, blobs = re_pb.ActionResult(), Blobs(Function.SHA256)
    staging = root.parent / f"{root.name}.staging"
    staging.mkdir(exist_ok=True)
    Collector(Stop(), str(root), str(staging), blobs, result).collect(
        Outputs(tuple((path, path) for path in paths), modern)
    )
    return result, blobs


def on_disk(path: Path) -> OnDisk:
    return OnDisk(str(path), path.lstat())


def refusal(root: Path, *paths: str) -> Error:
    with pytest.raises(Error) as caught:
        collected(root, *paths)
    return caught.value


def test_files_carry_their_digest_and_whether_they_run(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    (tmp_path / "b").chmod(0o710)
    result, blobs = collected(tmp_path, "a", "b", "missing", "no/such/dir")
    assert [(file.path, file.is_executable, digest_of(file.digest)) for file in result.output_files] == [
        ("a", False, of(b"one")),
        ("b", True, of(b"two")),
    ]
    assert blobs.found == {of(b"one"): b"one", of(b"two"): b"two"}


def test_a_directory_becomes_a_tree_with_parents_before_children(tmp_path: Path) -> None:
    for name in ("out/a/same", "out/b/same", "out/b/c"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("out/a/same/x", "out/b/same/x", "out/b/c/y", "out/top"):
        (tmp_path / name).write_text("x")
    (tmp_path / "out/link").symlink_to("top")
    result, blobs = collected(tmp_path, "out")
    output = result.output_directories[0]
    data = blobs.found[digest_of(output.tree_digest)]
    assert isinstance(data, bytes)
    parsed = re_pb.Tree.FromString(data)
    known = [of(child.SerializeToString()) for child in parsed.children]
    assert len(known) == len(set(known)) == 4
    for place, child in enumerate(parsed.children):
        for node in child.directories:
            assert known.index(digest_of(node.digest)) > place
    assert output.is_topologically_sorted
    assert digest_of(output.root_directory_digest) == tree_of(data).root == of(parsed.root.SerializeToString())
    assert set(known) | {digest_of(output.root_directory_digest)} <= set(blobs.found)
    assert [link.target for link in parsed.root.symlinks] == ["top"]


def test_equal_directories_make_equal_trees(tmp_path: Path) -> None:
    for side, names in (("one", ("a", "b", "c")), ("two", ("c", "b", "a"))):
        for name in names:
            (tmp_path / side / name).mkdir(parents=True)
            (tmp_path / side / name / "file").write_text(name)
    result, _ = collected(tmp_path, "one", "two")
    first, second = result.output_directories
    assert first.tree_digest == second.tree_digest


def test_an_empty_directory_is_a_tree_with_an_empty_root(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    result, blobs = collected(tmp_path, "out")
    assert blobs.found[digest_of(result.output_directories[0].tree_digest)] == b"\x0a\x00"


def test_the_execution_root_itself_can_be_an_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result, _ = collected(tmp_path, "")
    assert [output.path for output in result.output_directories] == [""]


@pytest.mark.parametrize("modern", [True, False])
def test_symlinks_are_told_in_the_lists_that_clients_read(tmp_path: Path, modern: bool) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "to_dir").symlink_to("dir")
    (tmp_path / "to_file").symlink_to("/etc/passwd")
    (tmp_path / "dangling").symlink_to("nowhere")
    result, blobs = collected(tmp_path, "to_dir", "to_file", "dangling", modern=modern)
    links = {("to_dir", "dir"), ("to_file", "/etc/passwd"), ("dangling", "nowhere")}
    assert {(link.path, link.target) for link in result.output_directory_symlinks} == {("to_dir", "dir")}
    assert {(link.path, link.target) for link in result.output_file_symlinks} == links - {("to_dir", "dir")}
    assert {(link.path, link.target) for link in result.output_symlinks} == (links if modern else set())
    assert blobs.found == {}


def test_no_symlink_on_the_way_is_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("secret")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "out").symlink_to(tmp_path / "secret")
    result, blobs = collected(tmp_path / "root", "out/file")
    assert (result, blobs.found) == (re_pb.ActionResult(), {})


def test_links_into_the_execution_root_become_relative_since_nobody_else_has_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "link").symlink_to(tmp_path / "file")
    result, _ = collected(tmp_path, "deep/link")
    assert result.output_symlinks[0].target == "../file"


@pytest.mark.parametrize("inside", [True, False])
def test_special_files_are_refused_and_never_opened(tmp_path: Path, inside: bool) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "fifo")
    error = refusal(tmp_path, "out" if inside else "out/fifo")
    assert error.code is Code.INVALID_ARGUMENT
    assert "out/fifo" in str(error)
    assert "FIFO" in str(error)


def test_sockets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("sock")
        assert "socket" in str(refusal(tmp_path, "sock"))


def test_names_that_are_not_utf8_are_refused_with_their_name_escaped(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with open(os.fsencode(tmp_path) + b"/out/bad\xff", "w"):
        pass
    error = refusal(tmp_path, "out")
    assert error.code is Code.FAILED_PRECONDITION
    assert "bad\\xff" in str(error)


def test_names_with_newlines_are_fine(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a\nb").write_text("x")
    result, blobs = collected(tmp_path, "out")
    data = blobs.found[digest_of(result.output_directories[0].tree_digest)]
    assert isinstance(data, bytes)
    assert re_pb.Tree.FromString(data).root.files[0].name == "a\nb"


def test_what_was_made_unreadable_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_text("x")
    (tmp_path / "out" / "file").chmod(0)
    (tmp_path / "out").chmod(0)
    result, blobs = collected(tmp_path, "out")
    assert len(result.output_directories) == 1
    assert of(b"x") in blobs.found


def test_directories_deeper_than_the_bound_are_refused(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(MOST_DEPTH + 2):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    assert refusal(tmp_path, "d").code is Code.FAILED_PRECONDITION


def test_setuid_is_no_property_of_an_output(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("x")
    (tmp_path / "tool").chmod(0o6755)
    file = collected(tmp_path, "tool")[0].output_files[0]
    assert (file.is_executable, file.HasField("node_properties")) == (True, False)


def test_large_files_are_named_and_not_held(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(3 << 20))
    _, blobs = collected(tmp_path, "large")
    ((digest, source),) = blobs.found.items()
    assert digest == of(bytes(3 << 20))
    assert isinstance(source, OnDisk)
    assert os.path.samefile(source.path, tmp_path / "large")


def test_collecting_stops_when_it_is_told_to(tmp_path: Path) -> None:
    stop = Stop()
    stop.wish()
    collector = Collector(stop, str(tmp_path), str(tmp_path), Blobs(Function.SHA256), re_pb.ActionResult())
    with pytest.raises(Error, match="stopped"):
        collector.collect(Outputs((("a", "a"),), True))


def test_a_stream_that_was_never_made_is_empty(tmp_path: Path) -> None:
    digest = re_pb.Digest()
    assert add_stream(Stop(), Blobs(Function.SHA256), str(tmp_path / "none"), digest) == b""
    assert digest_of(digest) == of(b"")


async def test_only_what_the_store_lacks_is_uploaded(tmp_path: Path) -> None:
    store = MemorySpec().build(Site())
    here, absent, large = of(b"here"), of(b"absent"), of(bytes(200_000))
    await store.put(here, b"here")
    (tmp_path / "large").write_bytes(bytes(200_000))
    written: list[Digest] = []

    class Watched(type(store)):  # type: ignore[misc]
        async def put(self, key: Digest, data: bytes) -> None:
            written.append(key)
            await store.put(key, data)

    watched = Watched.__new__(Watched)
    watched.__dict__.update(store.__dict__)
    blobs = Blobs(Function.SHA256, {here: b"here", absent: b"absent", large: on_disk(tmp_path / "large")})
    await upload(watched, blobs)
    assert written == [absent]
    assert await store.get(large) == bytes(200_000)

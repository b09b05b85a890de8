"""The work directory: whose it is, and that what was in it is gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nlserver.errors import Code, Error
from nlserver.worker.workspace import Workspace

from tests.fuzz.powers import ordinary
from tests.server.worker.shop import left


def test_a_work_directory_has_one_worker_at_a_time(tmp_path: Path) -> None:
    first = Workspace(str(tmp_path / "work"))
    with pytest.raises(Error) as caught:
        Workspace(str(tmp_path / "work"))
    assert caught.value.code is Code.FAILED_PRECONDITION
    first.close()
    Workspace(str(tmp_path / "work")).close()


def test_the_owner_is_the_same_for_the_next_process_and_another_elsewhere(tmp_path: Path) -> None:
    owners = []
    for name in ("a", "a", "b"):
        made = Workspace(str(tmp_path / name))
        owners.append(made.owner)
        made.close()
    assert owners[0] == owners[1] != owners[2]


def test_a_place_that_cannot_be_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Error, match="work_directory cannot be used"):
        Workspace(str(tmp_path / "file"))


@pytest.mark.parametrize("operation", ["../x", "", ".", "..", "a/b", "x\0", "é", ".hidden", "a" * 300])
def test_odd_operation_ids_have_a_directory_inside(workspace: Workspace, operation: str) -> None:
    directory = workspace.directory(operation)
    assert os.path.dirname(directory.path) == workspace.path
    workspace.create(directory)
    workspace.remove(directory)
    assert left(workspace.path) == []


def test_everything_is_removed_whatever_its_shape(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    directory = workspace.directory("op")
    workspace.create(directory)
    root = Path(directory.root)
    (root / "link").symlink_to(outside)
    os.mkfifo(root / "fifo")
    (root / "locked").mkdir()
    (root / "locked" / "file").touch()
    (root / "locked").chmod(0)
    with open(os.fsencode(root) + b"/\xff", "w"):
        pass
    fd = os.open(root, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("a-directory", dir_fd=fd)
        below = os.open("a-directory", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    workspace.remove(directory)
    assert left(workspace.path) == []
    assert os.listdir(outside) == ["file"]


@pytest.mark.parametrize("mode", [0o000, 0o200, 0o400, 0o600, 0o100, 0o500])
def test_directories_that_let_nobody_through_are_removed_by_an_ordinary_user(workspace: Workspace, mode: int) -> None:
    with ordinary():
        directory = workspace.directory("op")
        workspace.create(directory)
        inner = Path(directory.root) / "closed" / "closed too" / "deep"
        inner.mkdir(parents=True)
        (inner / "file").touch()
        for closed in (inner, inner.parent, inner.parent.parent):
            closed.chmod(mode)
        workspace.remove(directory)
        assert left(workspace.path) == []


def test_removing_what_is_not_there_is_fine(workspace: Workspace) -> None:
    workspace.remove(workspace.directory("never"))


def test_the_next_action_gets_the_directory_of_the_last_one_without_anything_of_it(workspace: Workspace) -> None:
    first, second = workspace.directory("first"), workspace.directory("second")
    workspace.create(first)
    number = os.stat(first.root).st_ino
    Path(first.stdout).touch(mode=0o600)
    Path(first.stdout).write_text("said")
    Path(first.side_channel).touch()
    Path(first.root, "below").mkdir()
    os.chmod(first.root, 0o2500)
    workspace.remove(first)
    workspace.create(second)
    assert os.stat(second.root).st_ino == number
    assert os.stat(second.root).st_mode & 0o7777 == 0o755
    assert os.listdir(second.root) == []
    assert sorted(os.listdir(second.path)) == ["stdout", "work"]
    assert os.path.getsize(second.stdout) == 0


@pytest.mark.parametrize("odd", ["link", "mode", "fifo", "hard link"])
def test_a_stream_that_an_action_made_odd_is_not_used_again(workspace: Workspace, tmp_path: Path, odd: str) -> None:
    directory = workspace.directory("op")
    workspace.create(directory)
    stream = Path(directory.stdout)
    (tmp_path / "outside").write_text("kept")
    match odd:
        case "link":
            stream.symlink_to(tmp_path / "outside")
        case "mode":
            stream.touch(mode=0)
        case "fifo":
            os.mkfifo(stream, 0o600)
        case _:
            stream.touch(mode=0o600)
            os.link(stream, tmp_path / "second")
    workspace.remove(directory)
    workspace.create(directory)
    assert os.listdir(directory.path) == ["work"]
    assert (tmp_path / "outside").read_text() == "kept"


def test_a_root_that_was_replaced_is_made_anew(workspace: Workspace, tmp_path: Path) -> None:
    directory = workspace.directory("op")
    workspace.create(directory)
    os.rmdir(directory.root)
    os.symlink(tmp_path, directory.root)
    (tmp_path / "file").touch()
    workspace.remove(directory)
    workspace.create(directory)
    assert not os.path.islink(directory.root)
    assert os.listdir(directory.root) == []
    assert (tmp_path / "file").exists()


def test_closing_removes_the_spares(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "work"))
    workspace.create(workspace.directory("op"))
    workspace.remove(workspace.directory("op"))
    workspace.close()
    assert os.listdir(tmp_path / "work") == []


def test_an_operation_that_has_a_directory_already_gets_no_second_one(workspace: Workspace) -> None:
    workspace.create(workspace.directory("spare"))
    workspace.create(workspace.directory("op"))
    workspace.remove(workspace.directory("spare"))
    with pytest.raises(FileExistsError):
        workspace.create(workspace.directory("op"))

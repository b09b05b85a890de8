"""The work directory: whose it is, and that what was in it is gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nlserver.errors import Code, Error
from nlserver.worker.workspace import Workspace


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
    assert os.listdir(workspace.path) == []


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
    assert os.listdir(workspace.path) == []
    assert os.listdir(outside) == ["file"]


def test_removing_what_is_not_there_is_fine(workspace: Workspace) -> None:
    workspace.remove(workspace.directory("never"))

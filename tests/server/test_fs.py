"""What was begun in a thread has ended before its caller goes on."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest
from nlserver import fs
from nlserver.errors import Code, Error


async def test_a_cancelled_caller_waits_for_work_that_has_begun() -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(10)
        ended.set()

    task = asyncio.create_task(fs.in_thread(work))
    await asyncio.to_thread(begun.wait)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_the_result_or_the_failure_of_the_work_comes_back() -> None:
    assert await fs.in_thread(divmod, 17, 5) == (3, 2)
    with pytest.raises(ZeroDivisionError):
        await fs.in_thread(divmod, 1, 0)


async def test_grouped_work_runs_once_for_all_who_asked_before_it_began() -> None:
    runs = 0
    begun, go = threading.Event(), threading.Event()

    def work() -> None:
        nonlocal runs
        runs += 1
        begun.set()
        go.wait(10)

    grouped = fs.Grouped(work)
    first = asyncio.create_task(grouped.done())
    await asyncio.to_thread(begun.wait)
    others = [asyncio.create_task(grouped.done()) for _ in range(10)]
    await asyncio.sleep(0)
    others.pop().cancel()
    go.set()
    await asyncio.gather(first, *others)
    assert runs == 2


async def test_a_failure_of_grouped_work_reaches_its_callers_and_nobody_later() -> None:
    failures = [OSError(errno.EIO, "broken")]

    def work() -> None:
        if failures:
            raise failures.pop()

    grouped = fs.Grouped(work)
    outcomes = await asyncio.gather(grouped.done(), grouped.done(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError, OSError]
    await grouped.done()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, Code.RESOURCE_EXHAUSTED),
        (errno.EDQUOT, Code.RESOURCE_EXHAUSTED),
        (errno.EMFILE, Code.RESOURCE_EXHAUSTED),
        (errno.EROFS, Code.FAILED_PRECONDITION),
        (errno.EIO, Code.INTERNAL),
    ],
)
def test_failed_calls_have_a_code(number: int, code: Code) -> None:
    with pytest.raises(Error, match="writing /data: ") as caught, fs.failing("writing /data"):
        raise OSError(number, os.strerror(number))
    assert caught.value.code is code


def test_room_is_asked_for_once() -> None:
    asked: list[int] = []

    def retry(left: int) -> bool:
        asked.append(left)
        return True

    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space"):
            fs.write_all(full, [b"abc", b"de"], retry)
    finally:
        os.close(full)
    assert asked == [5]


def test_a_copy_is_whole(tmp_path: Path) -> None:
    data = os.urandom(20 << 20)
    (tmp_path / "source").write_bytes(data)
    source = fs.open_to_read(f"{tmp_path}/source")
    target = os.open(tmp_path / "target", os.O_WRONLY | os.O_CREAT)
    try:
        fs.copy_all(source, target)
    finally:
        os.close(source)
        os.close(target)
    assert (tmp_path / "target").read_bytes() == data


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic"):
        fs.open_to_read(f"{tmp_path}/link")


def _statvfs(**facts: int) -> os.statvfs_result:
    names = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail", "f_flag")
    usual = {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 1000, "f_bfree": 500, "f_bavail": 400}
    usual |= {"f_files": 100, "f_ffree": 50, "f_favail": 50, "f_flag": 0, "f_namemax": 255}
    return os.statvfs_result([(usual | facts)[name] for name in (*names, "f_namemax")])


@pytest.mark.parametrize(
    ("facts", "for_root", "for_others"),
    [
        ({}, False, False),
        ({"f_bfree": 100, "f_bavail": 0}, False, True),
        ({"f_bfree": 7, "f_bavail": 7}, True, True),
        ({"f_bfree": 8, "f_bavail": 8}, False, False),
        ({"f_ffree": 0, "f_favail": 0}, True, True),
        ({"f_files": 0, "f_ffree": 0, "f_favail": 0}, False, False),
        ({"f_blocks": 0, "f_bfree": 0, "f_bavail": 0, "f_files": 0}, False, False),
    ],
)
def test_a_disk_is_full_without_bytes_or_without_files(facts: dict[str, int], for_root: bool, for_others: bool) -> None:
    assert fs.is_full(_statvfs(**facts), as_root=True) is for_root
    assert fs.is_full(_statvfs(**facts), as_root=False) is for_others

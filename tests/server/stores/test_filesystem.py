"""The directory is the database: what stands in it, who may share it, what survives, what goes."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from nlserver.errors import Code, Error
from nlserver.eviction import Eviction, EvictionPolicy, Limit
from nlserver.filesystem import journal
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.spec import Site
from nlserver.store import LocalFiles, Missing, Store
from nlserver.stores.filesystem import Filesystem, FilesystemSpec
from nlserver.streams import closing, gather, once
from nlserver.transfer.spread import spread

Files = Callable[..., Filesystem]
BLOCK = 4096


def blob(number: int, size: int = 100) -> tuple[Digest, bytes]:
    data = number.to_bytes(4, "big") + bytes(size - 4)
    return of(data), data


async def put(store: Store, *numbers: int, size: int = 100) -> list[Digest]:
    keys = []
    for number in numbers:
        key, data = blob(number, size)
        await store.put(key, data)
        keys.append(key)
    return keys


async def present(store: Store, keys: list[Digest]) -> list[int]:
    """Which of these are there, by their place, without marking them as used."""
    return [place for place, key in enumerate(keys) if await _stands(store, key)]


async def _stands(store: Store, key: Digest) -> bool:
    assert isinstance(store, Filesystem)
    return os.path.exists(store._directory.layout.path(key))


def counted(path: Path) -> int:
    """What the values below a content directory count for."""
    files = [*(path / "content/d").iterdir(), *(path / "content/s").iterdir(), *(path / "content.exec/d").iterdir()]
    return sum(-(-file.stat().st_size // BLOCK) * BLOCK for file in files)


async def test_values_stand_where_nativelink_keeps_them(files: Files, tmp_path: Path) -> None:
    store = files()
    key, data = blob(1)
    await store.put(key, data)
    await store.put("a key", b"value")
    file = tmp_path / f"content/d/{key.hash}-{key.size_bytes}"
    assert file.read_bytes() == data
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    assert (tmp_path / "content/s/a key").read_bytes() == b"value"


async def test_no_temporary_file_is_left_by_a_write(files: Files, tmp_path: Path) -> None:
    store = files()
    await put(store, 1, 2, 3)
    await put(store, 4, size=3 << 20)
    assert [file for file in (tmp_path / "temp").rglob("*") if file.is_file() and file.suffix != ".owner"] == []


async def test_all_files_have_the_same_modification_time(files: Files, tmp_path: Path, clock: Any) -> None:
    store = files()
    await put(store, 1)
    clock.advance(1000)
    await put(store, 2)
    assert len({file.stat().st_mtime_ns for file in (tmp_path / "content/d").iterdir()}) == 1


async def test_values_survive_a_restart(files: Files) -> None:
    first = files()
    keys = await put(first, 1, 2)
    await first.close()
    assert [size is not None for size in await files().sizes(keys)] == [True, True]


async def test_a_value_written_by_one_is_seen_by_the_other_at_once(files: Files) -> None:
    one, other = files(), files()
    key, data = blob(1)
    await one.put(key, data)
    assert await other.get(key) == data
    assert await other.remove(key)
    with pytest.raises(Missing):
        await one.get(key)


async def test_a_reader_keeps_what_is_removed_or_replaced(files: Files) -> None:
    store = files()
    key, data = blob(1, 3 << 20)
    await store.put(key, data)
    async with closing(store.read(key)) as chunks:
        first = await anext(chunks)
        assert await store.remove(key)
        assert first + await gather(chunks, 1 << 30) == data


@pytest.mark.parametrize("seed", range(3))
async def test_a_read_gives_the_whole_value_or_none_whatever_comes_and_goes_meanwhile(files: Files, seed: int) -> None:
    random = Random(seed)
    # Small ones are read at once, larger ones by threads; the limit has room for a part of them.
    values = [blob(number, size) for number, size in enumerate((4, 1000, 1000, 60_000, 70_000, 200_000))]
    stores = [files(EvictionPolicy(max_bytes=300_000)) for _ in range(2)]
    found = 0

    async def come_and_go() -> None:
        for _ in range(200):
            store, (key, data) = random.choice(stores), random.choice(values)
            match random.randrange(4):
                case 0:
                    await store.remove(key)
                case 1:
                    await store.write(key, once(data))
                case _:
                    await store.put(key, data)

    async def read(value: tuple[Digest, bytes]) -> None:
        nonlocal found
        key, data = value
        try:
            got = await random.choice(stores).get(key)
        except Missing:
            return
        found += 1
        assert got == data

    async def read_many() -> None:
        for _ in range(200):
            await spread(random.choices(values, k=10), read, 4)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(come_and_go())
            tasks.create_task(read_many())
    assert found > 0


async def test_a_small_value_is_read_at_once_and_leaves_no_file_open(files: Files) -> None:
    store = files()
    [key] = await put(store, 1, size=1000)
    await store.put("nothing", b"")
    before = os.listdir("/proc/self/fd")
    for wanted, most in ((key, 1000), ("nothing", 0)):
        reading = store.get(wanted, most)
        with pytest.raises(StopIteration):
            reading.send(None)
    with pytest.raises(Error) as refused:
        await store.get(key, 999)
    assert refused.value.code is Code.RESOURCE_EXHAUSTED
    assert os.listdir("/proc/self/fd") == before


async def test_the_least_recently_used_go_first(files: Files, tmp_path: Path, clock: Any) -> None:
    store = files(EvictionPolicy(max_bytes=4 * BLOCK))
    keys = []
    for number in range(3):
        clock.advance(60)
        keys += await put(store, number)
    clock.advance(60)
    assert await store.get(keys[0])
    clock.advance(60)
    keys += await put(store, 3)
    assert await present(store, keys) == [0, 2, 3]
    assert counted(tmp_path) < 4 * BLOCK


async def test_limits_hold_after_every_write(files: Files, tmp_path: Path, clock: Any) -> None:
    store = files(EvictionPolicy(max_bytes=10 * BLOCK, max_count=7))
    for number in range(40):
        clock.advance(1)
        await put(store, number, size=100 if number % 3 else 2 * BLOCK)
        assert counted(tmp_path) < 10 * BLOCK
        assert len(list((tmp_path / "content/d").iterdir())) <= 7
        assert await _stands(store, blob(number, 100 if number % 3 else 2 * BLOCK)[0])


async def test_limits_hold_under_concurrent_writes(files: Files, tmp_path: Path) -> None:
    stores = [files(EvictionPolicy(max_bytes=20 * BLOCK)) for _ in range(3)]
    await asyncio.gather(*(put(stores[number % 3], number) for number in range(150)))
    assert counted(tmp_path) < 20 * BLOCK
    assert len(list((tmp_path / "content/d").iterdir())) == 19


async def test_a_store_whose_limit_was_lowered_is_written_to_while_it_shrinks(
    files: Files, tmp_path: Path, clock: Any
) -> None:
    await put(files(), *range(600))
    clock.advance(60)
    store = files(EvictionPolicy(max_count=20))
    (key,) = await put(store, 600)
    left = len(list((tmp_path / "content/d").iterdir()))
    assert 20 < left < 600
    await store.keep_house()
    assert len(list((tmp_path / "content/d").iterdir())) == 20
    assert await present(store, [key]) == [0]


@pytest.mark.slow
async def test_nobody_waits_for_a_look_at_a_large_directory(files: Files, tmp_path: Path, clock: Any) -> None:
    (tmp_path / "content/d").mkdir(parents=True)
    names = [str(blob(number)[0]) for number in range(70_000)]
    for name in names:
        (tmp_path / "content/d" / name).touch()
    store = files(EvictionPolicy(max_count=60_000))
    (key,) = await put(store, 70_001)
    assert store._directory.usage is not None
    assert store._directory.usage.read() is None, "the write waited until all files were counted"
    await store.keep_house()
    assert len(list((tmp_path / "content/d").iterdir())) == 60_000
    assert await present(store, [key]) == [0]


async def test_a_pass_goes_down_to_the_low_watermark(files: Files, clock: Any) -> None:
    store = files(EvictionPolicy(max_bytes=10 * BLOCK, evict_bytes=6 * BLOCK))
    keys = []
    for number in range(9):
        clock.advance(1)
        keys += await put(store, number)
    assert len(await present(store, keys)) == 9
    clock.advance(1)
    keys += await put(store, 9)
    await store.keep_house()
    assert await present(store, keys) == [7, 8, 9]


async def test_size_is_counted_in_blocks(files: Files, clock: Any) -> None:
    store = files(EvictionPolicy(max_bytes=10_000), block_size=1000)
    keys = []
    for number in range(12):
        clock.advance(1)
        keys += await put(store, number, size=10)
    assert await present(store, keys) == list(range(3, 12))


async def test_old_values_are_absent_before_they_are_evicted(files: Files, clock: Any) -> None:
    store = files(EvictionPolicy(max_seconds=100))
    keys = await put(store, 1, 2)
    clock.advance(90)
    assert await store.sizes(keys[:1]) == [100]
    clock.advance(50)
    assert await store.sizes(keys) == [100, None]
    with pytest.raises(Missing):
        await store.get(keys[1])
    await store.keep_house()
    assert await present(store, keys) == [0]


async def test_what_was_asked_for_by_another_process_is_spared(files: Files, clock: Any) -> None:
    policy = EvictionPolicy(max_count=3)
    one, other = files(policy), files(policy)
    keys = []
    for number in range(3):
        clock.advance(60)
        keys += await put(one, number)
    await one.keep_house()
    clock.advance(60)
    assert await other.sizes(keys[:1]) == [100]
    clock.advance(60)
    keys += await put(one, 3)
    assert await present(one, keys) == [0, 2, 3]


async def test_every_eviction_is_in_the_journal(files: Files, tmp_path: Path, clock: Any) -> None:
    store = files(EvictionPolicy(max_bytes=3 * BLOCK, max_seconds=1000))
    (first, second) = await put(store, 1, 2)
    clock.advance(60)
    await store.put("a/free key", b"value")
    clock.advance(2000)
    await store.keep_house()
    evictions = list(journal.read(f"{tmp_path}/content.journal"))
    assert {evictions[0].key, evictions[1].key} == {str(first), str(second)}
    assert [(e.key, e.limit) for e in evictions[2:]] == [("a/free key", Limit.SECONDS)]
    assert [e.limit for e in evictions[:2]] == [Limit.BYTES, Limit.SECONDS]
    assert [e.size for e in evictions] == [BLOCK] * 3
    assert evictions[0].age == 60
    assert evictions[-1].age == 2000
    assert evictions[-1].when == clock.now


DIES_EVICTING = """
import asyncio, os, signal, sys
from nlserver.eviction import EvictionPolicy
from nlserver.spec import Site
from nlserver.stores.filesystem import FilesystemSpec

removed, really = 0, os.unlink

def unlink(path, **keys):
    global removed
    really(path, **keys)
    removed += "/temp/" in str(path)
    if removed == 5:
        os.kill(os.getpid(), signal.SIGKILL)

async def main(path):
    spec = FilesystemSpec(
        content_path=f"{path}/content", temp_path=f"{path}/temp", eviction_policy=EvictionPolicy(max_count=10)
    )
    store = spec.build(Site(spawn=lambda coroutine, name: coroutine.close()))
    os.unlink = unlink
    await store.keep_house()

asyncio.run(main(sys.argv[1]))
"""


async def test_what_was_evicted_up_to_a_kill_is_in_the_journal(files: Files, tmp_path: Path) -> None:
    keys = await put(files(), *range(40))
    killed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", DIES_EVICTING, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    told = {eviction.key for eviction in journal.read(f"{tmp_path}/content.journal")}
    gone = {str(key) for key in keys if not (tmp_path / "content/d" / str(key)).exists()}
    assert len(gone) == 5
    assert gone <= told


def test_the_journal_stays_small(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    many = [Eviction(1.0, f"{'ab' * 32}-{number}", 4096, Limit.BYTES, 5.0) for number in range(1000)]
    notes = journal.Journal(path)
    for _ in range(120):
        for eviction in many:
            notes.note(eviction)
        notes.close()
    kept = os.path.getsize(path) + os.path.getsize(f"{path}.1")
    assert kept < 3 * journal.ROTATE_BYTES
    with open(path, "a") as file:
        file.write('{"torn": \nnot json\n[]\n')
    assert all(eviction == many[number % 1000] for number, eviction in enumerate(journal.read(path)))


def test_a_line_that_a_kill_cut_off_costs_no_other_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text('{"when": "2026-01-01T00:00:00')
    one = Eviction(1.0, "a key", 4096, Limit.COUNT, 5.0)
    notes = journal.Journal(str(path))
    notes.note(one)
    notes.close()
    assert list(journal.read(str(path))) == [one]


def test_what_the_journal_cannot_take_is_written_when_it_can(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.mkdir()
    many = [Eviction(1.0, f"key {number}", 4096, Limit.DISK, 5.0) for number in range(3)]
    notes = journal.Journal(str(path))
    notes.note(many[0])
    notes.note(many[1])
    assert notes.failure is not None
    path.rmdir()
    notes.note(many[2])
    notes.close()
    assert notes.failure is None
    assert list(journal.read(str(path))) == many


async def test_what_can_never_fit_is_refused(files: Files, tmp_path: Path) -> None:
    store = files(EvictionPolicy(max_bytes=1 << 20))
    keys = await put(store, 1)
    key, data = blob(2, 1 << 20)
    file = tmp_path / "large"
    file.write_bytes(data)

    async def stream() -> AsyncGenerator[bytes, None]:
        for _ in range(1000):
            yield data

    for write in (store.put(key, data), store.write(key, stream()), store.write_file(key, file)):
        with pytest.raises(Error) as caught:
            await write
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert await present(store, [*keys, key]) == [0]


async def test_sums_are_set_right_after_others_removed_files(files: Files, tmp_path: Path) -> None:
    store = files(EvictionPolicy(max_count=4))
    keys = await put(store, 1, 2, 3, 4)
    for key in keys[:3]:
        (tmp_path / f"content/d/{key}").unlink()
    keys += await put(store, 5, 6, 7)
    assert await present(store, keys) == [3, 4, 5, 6]


async def test_a_removed_directory_is_made_again(files: Files, tmp_path: Path) -> None:
    store = files(EvictionPolicy(max_count=4))
    await put(store, 1)
    for path in ("content", "temp"):
        shutil.rmtree(tmp_path / path)
    with pytest.raises(Error) as caught:
        await store.check()
    assert caught.value.code is Code.UNAVAILABLE
    keys = await put(store, 2, 3)
    keys += await put(store, 4, size=2 << 20)
    assert [size is not None for size in await store.sizes(keys)] == [True] * 3
    await store.check()


async def test_foreign_files_are_left_alone_and_reported_once(
    files: Files, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = files(EvictionPolicy(max_count=1))
    strangers = [tmp_path / "content/d" / name for name in ("README", "x" * 64 + "-5", "a" * 64 + "-05")]
    for stranger in strangers:
        stranger.write_text("mine")
    with caplog.at_level("WARNING", logger="nlserver"):
        for number in range(3):
            await put(store, number)
            store._directory.tidy()
    assert all(stranger.exists() for stranger in strangers)
    assert [record.message for record in caplog.records] == ["Files that are no values are left alone"]


async def test_values_of_the_old_flat_layout_are_adopted(files: Files, tmp_path: Path) -> None:
    key, data = blob(1)
    (tmp_path / "content").mkdir()
    (tmp_path / f"content/{key}").write_bytes(data)
    (tmp_path / "content/notes.txt").write_text("mine")
    store = files()
    store._directory.tidy()
    assert await store.get(key) == data
    assert (tmp_path / "content/notes.txt").exists()


async def test_values_without_a_counted_sum_are_counted_on_the_first_write(files: Files, tmp_path: Path) -> None:
    unbounded = files()
    keys = await put(unbounded, *range(10))
    bounded = files(EvictionPolicy(max_count=5))
    keys += await put(bounded, 10)
    assert len(await present(bounded, keys)) == 5


async def test_links_share_the_file_and_cannot_be_written(files: Files, tmp_path: Path) -> None:
    store = files()
    assert isinstance(store, LocalFiles)
    key, data = blob(1)
    await store.put(key, data)
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        assert store.link(key, "input", executable=False, dir_fd=directory)
    finally:
        os.close(directory)
    status = (tmp_path / "input").stat()
    assert status.st_ino == (tmp_path / f"content/d/{key}").stat().st_ino
    assert stat.S_IMODE(status.st_mode) == 0o444
    with pytest.raises(FileExistsError):
        store.link(key, f"{tmp_path}/input", executable=False)
    with pytest.raises(FileNotFoundError):
        store.link(key, f"{tmp_path}/nowhere/input", executable=False)


async def test_an_executable_is_linked_to_a_twin_made_once(files: Files, tmp_path: Path) -> None:
    store = files(EvictionPolicy(max_bytes=1 << 20))
    key, data = blob(1)
    await store.put(key, data)
    assert store.link(key, f"{tmp_path}/one", executable=True)
    assert store.link(key, f"{tmp_path}/two", executable=True)
    twin = tmp_path / f"content.exec/d/{key}"
    assert twin.read_bytes() == data
    assert (tmp_path / "one").stat().st_ino == (tmp_path / "two").stat().st_ino == twin.stat().st_ino
    assert stat.S_IMODE(twin.stat().st_mode) == 0o555
    assert stat.S_IMODE((tmp_path / f"content/d/{key}").stat().st_mode) == 0o444
    assert store._directory.usage is not None
    held = store._directory.usage.read()
    assert held is None or held.size == 2 * BLOCK
    store._directory.tidy()
    held = store._directory.usage.read()
    assert held is not None
    assert held.size == 2 * BLOCK == counted(tmp_path)


@pytest.mark.parametrize("executable", [False, True])
async def test_an_absent_blob_cannot_be_linked(files: Files, tmp_path: Path, executable: bool) -> None:
    store = files()
    assert not store.link(blob(1)[0], f"{tmp_path}/input", executable=executable)
    assert not (tmp_path / "input").exists()


@pytest.mark.parametrize(("executable", "mode"), [(False, 0o444), (True, 0o555)])
async def test_the_empty_blob_can_be_linked(files: Files, tmp_path: Path, executable: bool, mode: int) -> None:
    old = os.umask(0o022)
    try:
        assert files().link(EMPTY[Function.SHA256], f"{tmp_path}/input", executable=executable)
    finally:
        os.umask(old)
    assert (tmp_path / "input").stat().st_size == 0
    assert stat.S_IMODE((tmp_path / "input").stat().st_mode) == mode


async def test_a_twin_goes_with_its_blob_and_a_linked_input_stays(files: Files, tmp_path: Path, clock: Any) -> None:
    store = files(EvictionPolicy(max_bytes=3 * BLOCK))
    (first, second) = await put(store, 1, 2)
    assert store.link(first, f"{tmp_path}/input", executable=True)
    clock.advance(60)
    await store.keep_house()
    clock.advance(60)
    assert await store.sizes([second]) == [100]
    await put(store, 3)
    assert not (tmp_path / f"content.exec/d/{first}").exists()
    assert not await _stands(store, first)
    assert (tmp_path / "input").read_bytes() == blob(1)[1]
    assert await store.remove(second)


async def test_a_twin_without_its_blob_is_cleared_away(files: Files, tmp_path: Path) -> None:
    store = files(EvictionPolicy(max_count=10))
    (key,) = await put(store, 1)
    assert store.link(key, f"{tmp_path}/input", executable=True)
    (tmp_path / f"content/d/{key}").unlink()
    store._directory.tidy()
    assert list((tmp_path / "content.exec/d").iterdir()) == []


async def test_where_links_are_impossible_a_copy_is_made(files: Files, elsewhere: str) -> None:
    store = files()
    key, data = blob(1)
    await store.put(key, data)
    to = Path(elsewhere, "input")
    assert store.link(key, str(to), executable=True)
    assert to.read_bytes() == data
    assert stat.S_IMODE(to.stat().st_mode) == 0o555


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """A directory on another file system than `tmp_path`."""
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield path


def refused(content: Path | str, temp: Path | str) -> Error:
    with pytest.raises(Error) as caught:
        FilesystemSpec(content_path=str(content), temp_path=str(temp)).build(Site())
    assert caught.value.code is Code.FAILED_PRECONDITION
    return caught.value


def test_unusable_directories_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert f"{tmp_path}/file" in refused(tmp_path / "file/below", tmp_path / "temp").where
    assert f"{tmp_path}/file" in refused(tmp_path / "content", tmp_path / "file").where


def test_two_file_systems_cannot_be_one_store(tmp_path: Path, elsewhere: str) -> None:
    assert "two file systems" in refused(tmp_path / "content", elsewhere).message


def test_one_directory_cannot_be_both() -> None:
    assert FilesystemSpec.problems(FilesystemSpec(content_path="/data/cas", temp_path="/data/cas/"))
    assert not FilesystemSpec.problems(FilesystemSpec(content_path="/data/cas", temp_path="/data/tmp"))


PROCESS = """
import asyncio, sys
from nlserver.eviction import EvictionPolicy
from nlserver.reapi.digest import of
from nlserver.spec import Site
from nlserver.stores.filesystem import FilesystemSpec

async def main(path, limit, work):
    tasks = []
    site = Site(spawn=lambda coroutine, name: tasks.append(asyncio.create_task(coroutine)))
    policy = EvictionPolicy(max_bytes=int(limit)) if int(limit) else None
    store = FilesystemSpec(content_path=path + "/content", temp_path=path + "/temp", eviction_policy=policy).build(site)
    await globals()[work](store)
    for task in tasks:
        task.cancel()
    await site.close()

async def fill(store):
    for number in range(120):
        data = number.to_bytes(4, "big") * 1000
        await store.put(of(data), data)
        try:
            assert await store.get(of(data)) == data
        except Exception as missing:
            assert type(missing).__name__ == "Missing", missing

async def hang(store):
    async def stream():
        yield b"x" * (2 << 20)
        await asyncio.to_thread(sys.stdin.readline)
    writing = asyncio.create_task(store.write(of(b"never complete"), stream()))
    while not any(path.stat().st_size for path in store_files(store)):
        await asyncio.sleep(0.01)
    print("writing", flush=True)
    await writing

def store_files(store):
    from pathlib import Path
    return [path for path in Path(sys.argv[1], "temp").rglob("*") if path.is_file() and path.suffix != ".owner"]

async def cramped(store):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    small = b"small"
    for size in (1 << 21, 5 << 20):
        data = bytes(size)
        for write in (store.put(of(data), data), store.write(of(data), parts(data))):
            try:
                await write
            except Exception as error:
                print(error.code.name, error)
        assert await store.sizes([of(data)]) == [None]
    await store.put(of(small), small)
    assert await store.get(of(small)) == small
    assert store_files(store) == []

async def parts(data):
    for start in range(0, len(data), 300000):
        yield data[start:start + 300000]

asyncio.run(main(*sys.argv[1:]))
"""


def start(path: Path, limit: int, work: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(path), str(limit), work],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_share_a_directory_and_its_limits(tmp_path: Path) -> None:
    limit = 30 * BLOCK
    processes = [start(tmp_path, limit, "fill") for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert counted(tmp_path) < limit
    # A value that comes while another process scans may be counted twice, so that one more goes than must.
    assert 20 < len(list((tmp_path / "content/d").iterdir())) < 30
    for file in (tmp_path / "content/d").iterdir():
        data = file.read_bytes()
        assert file.name == str(of(data))
    assert list((tmp_path / "temp").iterdir()) == []


async def test_a_process_killed_while_writing_leaves_no_value_and_its_litter_goes(files: Files, tmp_path: Path) -> None:
    process = start(tmp_path, 0, "hang")
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == "writing\n"
    store = files()
    # While it lives, nobody touches what it writes.
    store._directory.tidy()
    litter = [path for path in (tmp_path / "temp").rglob("*") if path.is_file() and path.suffix != ".owner"]
    assert len(litter) == 1
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.communicate)
    assert list((tmp_path / "content/d").iterdir()) == []
    assert await store.sizes([of(b"never complete")]) == [None]
    store._directory.tidy()
    left = [path for path in (tmp_path / "temp").rglob("*") if path.is_file()]
    assert [path.suffix for path in left] == [".owner"]
    await put(store, 1)


def test_without_space_a_write_fails_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of files fails writes in the middle, as a full disk does.
    process = start(tmp_path, 1 << 30, "cramped")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    lines = output.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("RESOURCE_EXHAUSTED writing ") for line in lines)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.slow
async def test_a_full_disk_evicts_before_it_refuses(small_disk: Path, files: Files, clock: Any) -> None:
    store = files(EvictionPolicy(max_bytes=1 << 40))
    keys = []
    for number in range(30):
        clock.advance(1)
        keys += await put(store, number, size=100_000)
    kept = await present(store, keys)
    assert kept == list(range(kept[0], 30))
    assert 10 < len(kept) < 25
    assert {e.limit for e in journal.read(f"{small_disk}/content.journal")} == {Limit.DISK}
    with pytest.raises(Error) as caught:
        await put(store, 99, size=3 << 20)
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    await store.close()
    assert list((small_disk / "temp").iterdir()) == []


async def test_open_files_are_bounded(files: Files) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        store = files()
        (key,) = await put(store, 1, size=2 << 20)
        readers = [store.read(key) for _ in range(100)]
        try:
            firsts = [asyncio.create_task(anext(reader)) for reader in readers]  # type: ignore[arg-type]
            async with asyncio.timeout(60):
                while sum(task.done() for task in firsts) < 32:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            done, waiting = await asyncio.wait(firsts, timeout=0.5)
            assert len(done) == 32
            assert all(task.exception() is None for task in done)
            for task in waiting:
                task.cancel()
            await asyncio.wait(firsts)
        finally:
            for reader in readers:
                await reader.aclose()
        assert len(await store.get(key)) == 2 << 20
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

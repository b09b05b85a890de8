"""The checks see what is planted for them, so that a run cannot pass blindly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from nlserver.filesystem.temp import TempRoom
from nlserver.reapi.digest import Digest, Function, of
from nlserver.spec import Site
from nlserver.stores.compression import CompressionSpec, Lz4Spec
from nlserver.stores.filesystem import FilesystemSpec

from tests.faults.checks import litter, processes, usage
from tests.faults.checks.stores import damage
from tests.faults.checks.usage import Use
from tests.faults.site import StoreFiles

DATA = bytes(range(256)) * 700
SMALL = b"a small blob"


@pytest.fixture(params=[False, True], ids=["plain", "lz4"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> StoreFiles:
    """Two blobs, as the engine keeps them."""
    files = FilesystemSpec(content_path=f"{tmp_path}/content", temp_path=f"{tmp_path}/tmp")
    spec = CompressionSpec(backend=files, compression_algorithm=Lz4Spec()) if request.param else files
    site = Site(spawn=lambda coroutine, name: coroutine.close())
    kept = spec.build(site)
    await kept.put(of(DATA), DATA)
    await kept.put(of(SMALL, Function.BLAKE3), SMALL)
    await site.close()
    return StoreFiles(tmp_path / "content", tmp_path / "tmp", compressed=request.param)


def _file(store: StoreFiles, digest: Digest) -> Path:
    path = store.content / "d" / str(digest)
    path.chmod(0o644)
    return path


class TestStores:
    """Every file holds what its name says."""

    async def test_a_whole_store_is_well(self, store: StoreFiles) -> None:
        assert await damage(store) == []

    @pytest.mark.parametrize("place", [0, 50, -1])
    async def test_one_flipped_bit_is_found(self, store: StoreFiles, place: int) -> None:
        path = _file(store, of(DATA))
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)
        assert len(await damage(store)) == 1

    async def test_a_missing_end_is_found(self, store: StoreFiles) -> None:
        path = _file(store, of(DATA))
        path.write_bytes(path.read_bytes()[:-1])
        assert len(await damage(store)) == 1

    async def test_another_blob_under_the_name_is_found(self, store: StoreFiles) -> None:
        _file(store, of(DATA)).write_bytes(_file(store, of(SMALL, Function.BLAKE3)).read_bytes())
        assert len(await damage(store)) == 1

    @pytest.mark.parametrize("name", ["d/tmp.123", "stray"])
    async def test_files_that_are_none_of_a_stores_are_found(self, store: StoreFiles, name: str) -> None:
        (store.content / name).write_bytes(b"")
        assert len(await damage(store)) == 1

    @pytest.mark.parametrize(("data", "mode"), [(SMALL, 0o444), (b"other bytes.", 0o555)])
    async def test_a_twin_with_other_bytes_or_that_cannot_be_run_is_found(
        self, store: StoreFiles, data: bytes, mode: int
    ) -> None:
        twin = Path(f"{store.content}.exec/d") / str(of(SMALL))
        twin.write_bytes(SMALL)
        twin.chmod(0o555)
        assert await damage(store) == []
        twin.chmod(0o755)
        twin.write_bytes(data)
        twin.chmod(mode)
        assert len(await damage(store)) == 1


class TestLitter:
    """Temporary and work directories are empty when nobody works."""

    def test_the_empty_room_of_a_living_process_is_none(self, tmp_path: Path) -> None:
        room = TempRoom(str(tmp_path))
        assert litter.in_temp(tmp_path) == []
        room.close()
        assert litter.in_temp(tmp_path) == []

    def test_a_file_that_nobody_writes_any_more_is_found(self, tmp_path: Path) -> None:
        room = TempRoom(str(tmp_path))
        Path(room.fresh()).write_bytes(b"half of")
        assert len(litter.in_temp(tmp_path)) == 1
        room.close()

    def test_the_room_of_a_dead_process_is_found(self, tmp_path: Path) -> None:
        script = f"from nlserver.filesystem.temp import TempRoom; import os; TempRoom({str(tmp_path)!r}); os._exit(9)"
        subprocess.run([sys.executable, "-c", script], check=False)
        assert len(litter.in_temp(tmp_path)) == 1

    @pytest.mark.parametrize("name", ["0", "a" * 32])
    def test_what_belongs_to_nobody_is_found(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).mkdir()
        assert len(litter.in_temp(tmp_path)) == 1
        assert len(litter.in_folder(tmp_path)) == 1

    def test_spare_directories_are_none_while_they_are_empty(self, tmp_path: Path) -> None:
        spare = tmp_path / ".spare-3"
        (spare / "work").mkdir(parents=True)
        (spare / "stdout").touch()
        assert litter.in_work(tmp_path) == []
        (spare / "stdout").write_bytes(b"x")
        (spare / "work/input").touch()
        (spare / "side_channel").touch()
        assert len(litter.in_work(tmp_path)) == 3

    def test_the_directory_of_an_action_is_found(self, tmp_path: Path) -> None:
        (tmp_path / "3f1c9a4e-0000").mkdir()
        assert len(litter.in_work(tmp_path)) == 1


@pytest.fixture
def orphan() -> Iterator[int]:
    """A process that has left its session and lost its parent."""
    script = "setsid sleep 1000 > /dev/null 2>&1 & echo $!"
    started = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    pid = int(started.stdout)
    yield pid
    with suppress(ProcessLookupError):
        os.kill(pid, 9)


class TestProcesses:
    """Whoever is not known is named."""

    def test_an_orphan_is_named(self, orphan: int) -> None:
        everyone = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        named = [one for one in processes.strangers(everyone - {orphan}) if one.startswith(f"pid {orphan} ")]
        assert len(named) == 1
        assert "sleep 1000" in named[0]
        assert not [one for one in processes.strangers(everyone) if one.startswith(f"pid {orphan} ")]


class TestUsage:
    """Growth is named, and small growth allowed."""

    def test_it_reads_what_a_process_has(self) -> None:
        grows = (
            "import os; print(flush=True); input(); held = [os.dup(0) for _ in range(40)]; block = bytearray(64 << 20);"
            "block[::4096] = b'x' * len(block[::4096]); print(flush=True); input()"
        )
        # A process of its own: this one gives memory back whenever it likes.
        with subprocess.Popen([sys.executable, "-c", grows], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            before = usage.use(process.pid)
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
            now = usage.use(process.pid)
            process.kill()
        assert before is not None
        assert now is not None
        assert len(usage.grown(before, now)) == 2

    def test_little_growth_is_allowed(self) -> None:
        assert usage.grown(Use(30, 40 << 20, 12), Use(40, 60 << 20, 20)) == []
        assert len(usage.grown(Use(30, 40 << 20, 12), Use(30, 40 << 20, 60))) == 1

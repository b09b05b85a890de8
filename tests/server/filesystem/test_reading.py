"""Small files are read at once where no disk has to be waited for."""

from __future__ import annotations

import tempfile

import pytest
from nlserver.filesystem.reading import Reader
from nlserver.fs import in_memory

DATA = b"a few bytes"


def test_a_disk_is_not_memory() -> None:
    with tempfile.TemporaryFile(dir="/dev/shm") as memory, open("/proc/self/exe", "rb") as program:
        assert in_memory(memory.fileno())
        assert not in_memory(program.fileno())


@pytest.mark.parametrize("folder", ["/dev/shm", None], ids=["in memory", "on a disk"])
def test_a_small_file_is_read_at_once(folder: str | None) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(DATA)
        file.flush()
        reader = Reader(1 << 20)
        # The first time it is found out whether the file system knows how to be asked.
        reader.at_once(file.fileno(), len(DATA))
        assert reader.at_once(file.fileno(), len(DATA)) == DATA

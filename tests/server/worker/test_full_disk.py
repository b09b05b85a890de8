"""An action that met a full disk may have lost anything it wrote, and say that all is well."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from nlserver.errors import Code

from tests.server.worker.shop import Shop

pytestmark = pytest.mark.slow


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    assert os.geteuid() == 0, "only root can mount"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


async def test_what_an_action_left_on_a_full_disk_is_no_result(shop: Shop) -> None:
    result = await shop.sh("head -c 9000000 /dev/zero > big; echo small > out; true", outputs=["out"])
    assert result.internal_error.code == Code.INTERNAL
    assert "disk of the worker is full" in result.internal_error.message
    again = await shop.sh("echo small > out", outputs=["out"])
    assert again.execute_response.result.exit_code == 0
    assert await shop.read(again.execute_response.result.output_files[0].digest) == b"small\n"

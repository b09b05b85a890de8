"""Values that are made durable in groups: nobody waits for a group that never comes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from nlserver.clock import SystemClock
from nlserver.eviction import UNBOUNDED
from nlserver.filesystem.commits import Commits
from nlserver.filesystem.directory import Directory
from nlserver.reapi.digest import of


class _Gate:
    """In the place of the semaphore of syncs: whoever has done its group waits until all may go on in one turn."""

    def __init__(self) -> None:
        self._waiting = 0
        self.both_wait = asyncio.Event()
        self.opened = asyncio.Event()

    async def __aenter__(self) -> None:
        return

    async def __aexit__(self, *_: object) -> None:
        self._waiting += 1
        if self._waiting == 2:
            self.both_wait.set()
        await self.opened.wait()


async def test_a_value_that_comes_in_the_turn_in_which_the_last_groups_end_is_kept_too(tmp_path: Path) -> None:
    directory = Directory(f"{tmp_path}/content", f"{tmp_path}/temp", UNBOUNDED, 4096, SystemClock())
    gate: Any = _Gate()
    commits = Commits(directory, gate)

    async def keep(data: bytes) -> None:
        await commits.keep(of(data), [data], directory.incoming())

    async def keep_in_that_turn() -> None:
        await gate.opened.wait()
        await keep(b"third")

    await keep(b"first")
    await keep(b"second")
    await gate.both_wait.wait()
    third = asyncio.create_task(keep_in_that_turn())
    await asyncio.sleep(0)
    gate.opened.set()
    async with asyncio.timeout(60):
        await third
    assert Path(directory.layout.path(of(b"third"))).read_bytes() == b"third"
    directory.close()

"""Nothing temporary is left where nobody works."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from nlserver import fs

from tests.faults.check import Check
from tests.faults.scene import Scene

_OWNER: Final = re.compile(r"([0-9a-f]{32})\.owner")
_SPARE: Final = re.compile(r"\.spare-\d+")


class Litter(Check):
    """Looks into temporary and work directories, and where programs put what has no other place."""

    name = "litter"
    # An upload that was left alone is kept for 2 s, and a worker clears away what a killed one left.
    settling_seconds = 20.0

    async def findings(self, scene: Scene) -> list[str]:
        site = scene.site
        found = [one for store in site.stores for one in in_temp(store.temp)]
        found += [one for work in site.works for one in in_work(work)]
        return found + in_folder(site.home / "tmp")


def in_temp(temp: Path) -> list[str]:
    """What is left in a store's `temp_path`: rooms of ended processes, and files in rooms of living ones."""
    names = set(_names(temp))
    rooms = {match[1] for name in names if (match := _OWNER.fullmatch(name))}
    found = [f"{temp / name} belongs to nobody" for name in names - rooms - {f"{room}.owner" for room in rooms}]
    for room in rooms:
        if _free(temp / f"{room}.owner"):
            found.append(f"{temp / room} belongs to a process that has ended")
        else:
            found += [f"{temp / room / name} is written by nobody" for name in _names(temp / room)]
    return found


def in_work(work: Path) -> list[str]:
    """What is left in a worker's directory; spare directories stay, empty but for two empty files."""
    found = [f"{work / name} belongs to no action" for name in _names(work) if not _SPARE.fullmatch(name)]
    for name in _names(work):
        if _SPARE.fullmatch(name):
            found += [f"{path} was left in a spare directory" for path in _filled(work / name)]
    return found


def in_folder(folder: Path) -> list[str]:
    """Everything in a folder that should be empty."""
    return [f"{folder / name} was left" for name in _names(folder)]


def _filled(spare: Path) -> Iterator[Path]:
    for name in _names(spare):
        path = spare / name
        with suppress(FileNotFoundError):
            if name == "work" and path.is_dir():
                yield from (path / inner for inner in _names(path))
            elif name not in ("stdout", "stderr") or path.stat().st_size:
                yield path


def _names(folder: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return sorted(os.listdir(folder))
    return []


def _free(lock: Path) -> bool:
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return fs.try_lock(fd)
    finally:
        os.close(fd)

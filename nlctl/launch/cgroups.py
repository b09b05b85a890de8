"""Control groups of this machine, versions 1 and 2: those that processes are in, what they allow and what is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

_ROOT: Final = Path("/sys/fs/cgroup")
MEMBERS: Final = "cgroup.procs"
"""The file of a group that holds its processes; what is written there becomes one."""
PIDS: Final = "pids"
MEMORY: Final = "memory"
LIMITS: Final = {
    PIDS: (("pids.max", "pids.current"),),
    MEMORY: (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")),
}
"""By controller, the files that hold what is allowed and what is used, in each version."""
_IDLE: Final = ("inactive_file ", "total_inactive_file ")
"""Pages of files that the kernel takes away before it kills."""
_ENDLESS: Final = 1 << 60
"""Version 1 writes a number for no limit."""


class Room(NamedTuple):
    """A group that has a limit: its folder, and how much there is of how much that may be."""

    folder: str
    used: int
    most: int


def groups(pid: int, controller: str) -> Iterator[Path]:
    """The folders of the groups in which this process is for a controller, its own first, as far as they are seen."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _ROOT / controllers
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(root) and (folder / MEMBERS).exists():
                yield folder


def limited(parts: Mapping[str, int], controller: str) -> dict[Room, list[str]]:
    """The groups that limit any of these processes, given by their names, with the names of those that are in each."""
    members: dict[Path, list[str]] = {}
    for name, pid in parts.items():
        for folder in groups(pid, controller):
            members.setdefault(folder, []).append(name)
    return {room: names for folder, names in members.items() for room in _rooms(folder, controller)}


def _rooms(folder: Path, controller: str) -> Iterator[Room]:
    for limit, used in LIMITS[controller]:
        # `max` is no number.
        with suppress(OSError, ValueError):
            most = int((folder / limit).read_text())
            if most < _ENDLESS:
                idle = _idle(folder) if controller == MEMORY else 0
                yield Room(str(folder), max(0, int((folder / used).read_text()) - idle), most)


def _idle(folder: Path) -> int:
    found = 0
    with suppress(OSError):
        for line in (folder / "memory.stat").read_text().splitlines():
            if line.startswith(_IDLE):
                found = max(found, int(line.split()[1]))
    return found

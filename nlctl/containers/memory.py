"""How often the kernel killed something in a container for want of memory, as its cgroup counts since it started."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

_FILES: Final = (("memory", "/sys/fs/cgroup/memory{}/memory.oom_control"), ("", "/sys/fs/cgroup{}/memory.events"))
"""The file of each version of cgroups, and how /proc names the hierarchy in which its group is found."""


def kills(pid: int) -> int | None:
    """Of the container in which this process of this machine runs; None where that cannot be seen."""
    with suppress(OSError):
        groups: dict[str, str] = {}
        for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines():
            _, kinds, group = line.split(":", 2)
            groups |= dict.fromkeys(kinds.split(","), group)
        for kind, file in _FILES:
            with suppress(OSError):
                if kind in groups and (count := counted(Path(file.format(groups[kind])).read_text())) is not None:
                    return count
    return None


def counted(text: str) -> int | None:
    """What such a file says."""
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), None)

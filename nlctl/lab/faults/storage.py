"""Disks that are full, and stores that lost what they stand on."""

from __future__ import annotations

import os
from typing import Final

from nlctl.doctor.finding import Verdict
from nlctl.lab.injection import Injection
from nlctl.lab.lab import Lab

_SMALL: Final = "16m"
_STRANGER_BYTES: Final = 300 << 20


def _on_small_disk(lab: Lab) -> str:
    """Let the CAS keep its blobs on a small volume; where that is mounted."""
    folder = lab.ledger.run / "disk"
    folder.mkdir(exist_ok=True)
    seen = f"/proc/{lab.stand_in('disk', str(folder), _SMALL)}/root{folder}"
    lab.edit("cas", f"{lab.ledger.data}/cas/", f"{seen}/cas/")
    lab.apply()
    return seen


def _small(lab: Lab) -> None:
    _on_small_disk(lab)


def _full(lab: Lab) -> None:
    seen = _on_small_disk(lab)
    room = os.statvfs(seen)
    with open(f"{seen}/ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize)


def _strangers(lab: Lab) -> None:
    path = lab.ledger.data / "cas" / "content" / "backup.tar"
    lab.leave(path)
    path.touch()
    os.truncate(path, _STRANGER_BYTES)


def _instead(lab: Lab, *names: str) -> None:
    folder = lab.ledger.data.joinpath(*names)
    lab.move_aside(folder)
    folder.write_text("no folder")


FAULTS: Final = (
    Injection(
        "full-disk",
        "the disk of the CAS is full",
        f"The CAS keeps its blobs on a volume of {_SMALL}, which something else filled. Needs root, or a kernel that "
        "lets users mount in a namespace of their own.",
        _full,
        "NLD-STO-01",
    ),
    Injection(
        "small-disk",
        "a store may take more than its disk has",
        f"The CAS may keep 2 GB on a volume of {_SMALL}: it will be full before anything is evicted. Needs root, or "
        "a kernel that lets users mount in a namespace of their own.",
        _small,
        "NLD-STO-01",
        Verdict.WARNING,
    ),
    Injection(
        "strangers",
        "foreign files in the directory of a store",
        "Somebody put a backup into the directory of the CAS, which does not count it.",
        _strangers,
        "NLD-STO-02",
        Verdict.WARNING,
    ),
    Injection(
        "lost-directory",
        "the directory of the CAS is gone",
        "Somebody cleaned up, and took the directory of the CAS away beneath it.",
        lambda lab: _instead(lab, "cas", "content", "d"),
        "NLD-PRC-06",
    ),
    Injection(
        "lost-results",
        "the directory of the action cache is gone",
        "Somebody took the directory of the action cache away beneath it: blobs are well, and no result is kept.",
        lambda lab: _instead(lab, "ac", "content", "d"),
        "NLD-AC-01",
    ),
)

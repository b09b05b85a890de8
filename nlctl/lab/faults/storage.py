"""Disks that are full, and stores that lost what they stand on."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from pathlib import Path
from typing import Final

from nlserver.reapi.digest import of

from nlctl.doctor.finding import Verdict
from nlctl.lab.injection import Injection
from nlctl.lab.lab import Lab, damaged

_SMALL: Final = "16m"
_STRANGER_BYTES: Final = 300 << 20
_MIB: Final = 1 << 20
_QUARTER: Final = 256 << 10
_BLOBS: Final = 200
_SMALL_BLOB: Final = 100
_TIER_MIB: Final = 8
_TURNS: Final = 3
_ROOM_MIB: Final = 40
_UNUSED_SECONDS: Final = 7200.0


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


def _rotten(lab: Lab) -> None:
    lab.renew_stores()
    for one in lab.put_all(secrets.token_bytes(_SMALL_BLOB) for _ in range(_BLOBS)):
        damaged(lab.blob(one), bytes(_SMALL_BLOB))


def _rushed(lab: Lab) -> None:
    """What gives way has not been used for long, so that only the rate is alarming."""
    lab.renew_stores(max_bytes=f"{_ROOM_MIB}mb")
    long_ago = time.time() - _UNUSED_SECONDS
    for one in lab.put_all(secrets.token_bytes(_MIB) for _ in range(_ROOM_MIB * 9 // 10)):
        os.utime(lab.blob(one), (long_ago, long_ago))
    lab.put_all(secrets.token_bytes(_MIB) for _ in range(_ROOM_MIB * 2 // 3))


def _filled(lab: Lab) -> None:
    """To the last quarter of a mebibyte, by what has not been used for long either."""
    lab.renew_stores(max_bytes=f"{_ROOM_MIB}mb")
    long_ago = time.time() - _UNUSED_SECONDS
    for one in lab.put_all(secrets.token_bytes(_QUARTER) for _ in range(_ROOM_MIB * 1_000_000 // _QUARTER)):
        os.utime(lab.blob(one), (long_ago, long_ago))


def _emptied(lab: Lab) -> None:
    """Workers used these blobs, and the CAS said that it has them."""
    lab.remember_presence()
    _renew_tier(lab, "2gb")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, str(number)) for number in range(_BLOBS)]
        for file in files:
            file.write_bytes(secrets.token_bytes(_SMALL_BLOB))
        lab.run("/bin/true", inputs=Path(folder))
        digests = [of(file.read_bytes()) for file in files]
    lab.known(*digests)
    for one in digests:
        lab.blob(one).unlink()


def _thrashing(lab: Lab) -> None:
    """Two actions in turn, whose inputs fit into the fast tier one at a time."""
    _renew_tier(lab, f"{_TIER_MIB}mb")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        folders = [Path(one), Path(other)]
        for folder in folders:
            for number in range(_TIER_MIB * 3 // 4):
                (folder / str(number)).write_bytes(secrets.token_bytes(_MIB))
        lab.run_each((("/bin/echo", str(turn)), folder) for turn in range(_TURNS) for folder in folders)


def _renew_tier(lab: Lab, max_bytes: str) -> None:
    """Let the workers begin with nothing in a fast tier of this size."""
    tier = f"{lab.ledger.data}/{secrets.token_hex(4)}/"
    for part in ("worker-1", "worker-2"):
        lab.edit(part, f"{lab.ledger.data}/workers/", tier)
        lab.edit(part, 'max_bytes: "2gb"', f'max_bytes: "{max_bytes}"')
    lab.apply()
    lab.registered()


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
        mended_by=("strangers", "restart_parts"),
    ),
    Injection(
        "lost-directory",
        "the directory of the CAS is gone",
        "Somebody cleaned up, and took the directory of the CAS away beneath it.",
        lambda lab: _instead(lab, "cas", "content", "d"),
        "NLD-PRC-06",
        mended_by=("folders",),
    ),
    Injection(
        "lost-results",
        "the directory of the action cache is gone",
        "Somebody took the directory of the action cache away beneath it: blobs are well, and no result is kept.",
        lambda lab: _instead(lab, "ac", "content", "d"),
        "NLD-AC-01",
        mended_by=("folders",),
    ),
    Injection(
        "rotten-store",
        "blobs changed on the disk",
        f"{_BLOBS} blobs of the CAS, nearly all that it has, hold other bytes than they should: a disk that fails, or "
        "somebody who wrote there.",
        _rotten,
        "NLD-STO-03",
    ),
    Injection(
        "emptied-store",
        "files of the CAS are gone behind its back",
        f"Somebody removed the files of {_BLOBS} blobs that workers use. The CAS, which remembers for a minute what it "
        "has, says that it has them.",
        _emptied,
        "NLD-STO-04",
        mended_by=("blob", "restart_parts"),
    ),
    Injection(
        "small-tier",
        "fast tiers are too small",
        f"The fast tier of the workers keeps {_TIER_MIB} MB, and two actions in turn use more than that: the CAS sends "
        "their inputs again and again.",
        _thrashing,
        "NLD-STO-07",
        Verdict.WARNING,
        mended_by=("recorded",),
    ),
    Injection(
        "hurried-store",
        "the CAS is replaced as a whole within an hour",
        f"The CAS keeps {_ROOM_MIB} MB, and more than half of it, unused for two hours, gave way to what came within "
        "a minute.",
        _rushed,
        "NLD-STO-06",
        Verdict.WARNING,
        mended_by=("recorded",),
    ),
    Injection(
        "full-store",
        "a store is full",
        f"The CAS may keep {_ROOM_MIB} MB and does: each new blob takes the place of one that nobody used for hours.",
        _filled,
        "NLD-STO-06",
        Verdict.INFO,
    ),
)

"""Looking up what rules want to know of this machine's disks."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from nlctl.lint.certificate import Certificate, read
from nlctl.lint.scene import Disk, File

_LARGEST_CERTIFICATE: Final = 1 << 20


def look(files: Sequence[File]) -> Disk:
    """Facts about the directories that these configs name.

    A directory that does not exist is where its parent is; one whose parent does not exist either is some other
    machine's, and unknown.
    """
    devices, sizes = {}, {}
    for path in {path for file in files for path in _paths(file)}:
        there = path if os.path.isdir(path) else os.path.dirname(os.path.normpath(path))
        if not os.path.isabs(path) or not os.path.isdir(there):
            continue
        devices[path] = os.stat(there).st_dev
        facts = os.statvfs(there)
        sizes[path] = facts.f_frsize * facts.f_blocks
    return Disk(devices, sizes, dict(_certificates(files)), platform.machine(), time.time())


def _certificates(files: Iterable[File]) -> Iterable[tuple[str, Certificate]]:
    for spec in (spec for file in files for spec in file.specs()):
        path = getattr(spec, "cert_file", None)
        if not isinstance(path, str) or not os.path.isfile(path):
            continue
        with suppress(OSError), open(path, encoding="ascii", errors="replace") as opened:
            if found := read(opened.read(_LARGEST_CERTIFICATE)):
                yield path, found


def _paths(file: File) -> Iterable[str]:
    for spec in file.specs():
        for key in ("content_path", "temp_path", "work_directory"):
            if isinstance(path := getattr(spec, key, None), str):
                yield path

"""Looking up what rules want to know of this machine's disks."""

from __future__ import annotations

import os
from collections.abc import Iterable

from nlctl.lint.scene import Disk, File


def look(files: Iterable[File]) -> Disk:
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
    return Disk(devices, sizes)


def _paths(file: File) -> Iterable[str]:
    for spec in file.specs():
        for key in ("content_path", "temp_path", "work_directory"):
            if isinstance(path := getattr(spec, key, None), str):
                yield path

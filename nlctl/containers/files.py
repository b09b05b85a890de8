"""Files and folders as the archive in which the engine takes them. Pure."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A file with its content, or a folder where `data` is None; `private` ones are for their owner alone."""

    name: str
    data: bytes | None = None
    private: bool = False


def packed(entries: Sequence[Entry], owner: int) -> bytes:
    """A tar with these, all of one owner."""
    packing = io.BytesIO()
    with tarfile.open(fileobj=packing, mode="w") as tar:
        for one in entries:
            head = tarfile.TarInfo(one.name)
            head.uid = head.gid = owner
            if one.data is None:
                head.type, head.mode = tarfile.DIRTYPE, 0o700 if one.private else 0o755
                tar.addfile(head)
            else:
                head.size, head.mode = len(one.data), 0o600 if one.private else 0o644
                tar.addfile(head, io.BytesIO(one.data))
    return packing.getvalue()

"""What lies in work directories although no action runs there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.folder_moved import Moved
from nlctl.doctor.repair import NoRepair, Repair


class Folders(NamedTuple):
    """What lies there, and where to set it aside."""

    paths: Sequence[str]
    keep: str


def look(ground: Ground, about: tuple[str, ...]) -> Folders:
    """Those of these paths that are still there."""
    return Folders([path for path in about if os.path.lexists(path)], str(ground.keep))


def plan(folders: Folders) -> Sequence[Change]:
    """Set it aside, each beside the others of its worker. Raises NoRepair when nothing is left."""
    if not folders.paths:
        raise NoRepair("nothing of it is left")
    return [Moved(path, os.path.join(folders.keep, *path.split(os.sep)[-2:])) for path in folders.paths]


REPAIR: Final = Repair(
    "litter",
    "set aside what lies in work directories although no action runs there",
    "nothing is removed; undoing puts it back",
    look,
    plan,
)

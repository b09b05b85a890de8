"""A key or token that others on this machine may read."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Final, NamedTuple

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.mode_changed import Changed
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.faults import fix

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Secret(NamedTuple):
    """The file, its permission bits, and whether we may change them."""

    path: str
    mode: int
    is_ours: bool


def look(ground: Ground, about: tuple[str, ...]) -> Secret:
    """The file as it is now; `about` is its path."""
    [path] = about
    try:
        there = os.stat(path)
    except OSError as error:
        raise NoRepair(f"{path} cannot be looked at: {error.strerror}") from error
    return Secret(path, stat.S_IMODE(there.st_mode), os.geteuid() in (0, there.st_uid))


def plan(secret: Secret) -> Sequence[Change]:
    """Leave it to its owner. Raises NoRepair for the file of another user."""
    if not secret.mode & _OTHERS:
        raise NoRepair("it is its owner's alone by now")
    if not secret.is_ours:
        raise NoRepair(f"{secret.path} belongs to another user", fix(f"as that user: chmod 600 {secret.path}"))
    return [Changed(secret.path, secret.mode, secret.mode & ~_OTHERS)]


REPAIR: Final = Repair(
    "owner_only",
    "take the rights of others on a key or token away",
    "its owner reads it as before; undoing gives them back",
    look,
    plan,
)

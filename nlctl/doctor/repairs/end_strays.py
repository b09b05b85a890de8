"""Processes of actions that are over."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.processes_ended import Ended
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.launch.process import Identity, identity, title


class Stray(NamedTuple):
    """A process that still works in a directory of actions."""

    who: Identity
    title: str


def look(ground: Ground, about: tuple[str, ...]) -> Sequence[Stray]:
    """Those of these process ids that still are there."""
    folder = f"{ground.ledger.data}/work/"
    found = []
    for pid in map(int, about):
        with suppress(OSError):
            if (who := identity(pid)) is not None and os.readlink(f"/proc/{pid}/cwd").startswith(folder):
                found.append(Stray(who, title(pid)))
    return found


def plan(found: Sequence[Stray]) -> Sequence[Change]:
    """End them. Raises NoRepair when they are gone."""
    if not found:
        raise NoRepair("they ended by themselves")
    whos = [one.who for one in found]
    titles = tuple(one.title for one in found)
    return [Ended(tuple(one.pid for one in whos), tuple(one.start for one in whos), titles)]


REPAIR: Final = Repair(
    "end_strays",
    "end processes that work in directories of actions without a worker",
    "their actions are over, and nobody waits for them; each is shown",
    look,
    plan,
)

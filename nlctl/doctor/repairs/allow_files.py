"""A part that may have few files open, where the kernel lets its owner allow it more."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.files_allowed import Allowed
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.faults import fix
from nlctl.launch import backends
from nlctl.launch.backends.processes import Processes
from nlctl.launch.process import children, identity

_ENOUGH: Final = 65536


class Limits(NamedTuple):
    """One process and how many files it may have open: now, and at most without root."""

    name: str
    pid: int
    start: int
    soft: int
    hard: int


def look(ground: Ground, about: tuple[str, ...]) -> Sequence[Limits]:
    """The processes of this part, and its supervisor's, whose limit is that of what it starts next."""
    [part] = about
    backend = backends.of(ground.ledger)
    root = next((one.pid for one in backend.reports() or () if one.name == part), None)
    pids = [] if root is None else [(part, pid) for pid in (root, *children(root))]
    if isinstance(backend, Processes) and (supervisor := backend.supervisor()) is not None:
        pids.append(("the supervisor", supervisor))
    return [limits for name, pid in pids if (limits := _limits(name, pid)) is not None]


def _limits(name: str, pid: int) -> Limits | None:
    if (who := identity(pid)) is not None:
        with suppress(OSError):
            return Limits(name, pid, who.start, *resource.prlimit(pid, resource.RLIMIT_NOFILE))
    return None


def plan(found: Sequence[Limits]) -> Sequence[Change]:
    """Allow what is enough, as far as the hard limits go. Raises NoRepair where they go no further."""
    made: list[Change] = []
    for one in found:
        most = _ENOUGH if one.hard == resource.RLIM_INFINITY else min(one.hard, _ENOUGH)
        if resource.RLIM_INFINITY != one.soft < most:
            made.append(Allowed(one.name, one.pid, one.start, one.soft, most))
    if not made:
        raise NoRepair("the hard limit is no higher", fix("as root, before the start: ulimit -Hn 65536"))
    return made


REPAIR: Final = Repair(
    "allow_files",
    "let a part, and what its supervisor starts next, have more files open, without a restart",
    "only the soft limit grows, as far as the hard one; undoing sets it as it was",
    look,
    plan,
)

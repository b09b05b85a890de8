"""A part whose process a signal holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.process_woken import Woken
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.faults import fix
from nlctl.launch import backends
from nlctl.launch.process import Identity, identity, stands_still, tracer


class Held(NamedTuple):
    """A part, its process (None when it is gone), whether that stands still, and who traces it, 0 for nobody."""

    part: str
    who: Identity | None
    is_held: bool
    tracer: int


def look(ground: Ground, about: tuple[str, ...]) -> Held:
    """The process of this part as it is now."""
    [part] = about
    pid = next((one.pid for one in backends.of(ground.ledger).reports() or () if one.name == part), None) or 0
    return Held(part, identity(pid), stands_still(pid), tracer(pid))


def plan(held: Held) -> Sequence[Change]:
    """Let it go on. Raises NoRepair for one that is traced, or goes on by now."""
    if held.who is None or not held.is_held:
        raise NoRepair(f"{held.part} does not stand still any more")
    if held.tracer:
        raise NoRepair(f"process {held.tracer} traces it, as a debugger does", fix("leave the debugger"))
    return [Woken(held.part, held.who.pid, held.who.start)]


REPAIR: Final = Repair(
    "wake",
    "let the process of a part go on that a signal holds",
    "it goes on where it stood, and loses nothing; undoing lets it stand still again",
    look,
    plan,
)

"""A container that somebody made otherwise than the record of the cluster says: by hand, or by another program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from nlctl.containers.copying import differences, request_of
from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.parts_remade import Remade
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.faults import fix


class Drift(NamedTuple):
    """A part, what the engine says of its container, and what it would be asked to make of the part."""

    part: str
    facts: Mapping[str, Any]
    meant: Mapping[str, Any]


def look(ground: Ground, about: tuple[str, ...]) -> Drift:
    """The container of part `about[0]` beside the record."""
    from nlctl.launch.backends.docker import Docker

    if not ground.is_here or ground.record.containers is None:
        raise NoRepair("nlctl did not make this container")
    if ground.record.containers.project:
        start = fix("correct its file, then: docker compose up --detach")
        raise NoRepair("Compose made this container, and would make it so again", start)
    backend = Docker(ground.ledger)
    facts = backend.made(about[0])
    if facts is None:
        raise NoRepair(f"there is no container of {about[0]}", fix("start it", "nlctl", "up"))
    return Drift(about[0], facts, backend.meant(about[0]))


def plan(drift: Drift) -> Sequence[Change]:
    """Make it anew. Raises NoRepair where it is as the record says."""
    differs = differences(drift.facts, drift.meant)
    if not differs:
        raise NoRepair("its container is as the record of the cluster says, so the cause is another")
    return [Remade(drift.part, tuple(differs), json.dumps(request_of(drift.facts)))]


REPAIR: Final = Repair(
    "containers",
    "make a container anew as the record of the cluster says: its image, mounts, network, ports, limits and command",
    "blobs are on volumes, which stay; workers finish what they run first; undo makes it as it was",
    look,
    plan,
)

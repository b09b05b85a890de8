"""A container is made anew as the record of the cluster says, in place of one that was made otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from nlctl.containers.copying import differences
from nlctl.doctor.change import Stand

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground

_GRACE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Remade:
    """`differs` says in what it was otherwise; `before` is the request, in JSON, by which the engine makes it so."""

    part: str
    differs: tuple[str, ...]
    before: str
    kind: ClassVar[str] = "parts_remade"
    restarts: ClassVar[bool] = True
    diff: ClassVar[str] = ""

    @property
    def does(self) -> str:
        """What it does."""
        return f"make the container of {self.part} anew as the record says; it has {', '.join(self.differs)}"

    @property
    def undoes(self) -> str:
        """What taking it back does."""
        return f"make the container of {self.part} as it was, with {', '.join(self.differs)}"

    def stand(self, ground: Ground) -> Stand:
        """Whether the container is as it was, or as the record says; none is there halfway between the two."""
        from nlctl.launch.backends.docker import Docker

        backend = Docker(ground.ledger)
        facts = backend.made(self.part)
        if facts is not None and not differences(facts, json.loads(self.before)):
            return Stand.BEFORE
        return Stand.AFTER if facts is None or not differences(facts, backend.meant(self.part)) else Stand.OTHER

    def do(self, ground: Ground) -> None:
        """End it, and bring the cluster to its recorded shape. Raises Fault."""
        from nlctl.doctor.anew import as_recorded
        from nlctl.launch.backends.docker import Docker

        Docker(ground.ledger).end(self.part, _GRACE_SECONDS)
        as_recorded(ground)

    def undo(self, ground: Ground) -> None:
        """Make it as it was."""
        from nlctl.launch.backends.docker import Docker

        Docker(ground.ledger).exchange(self.part, json.loads(self.before), _GRACE_SECONDS)


KIND = Remade

"""Running parts start anew with the configs that stand on disk, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nlctl.doctor.change import Stand
from nlctl.launch.wish import workers_of

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground


@dataclass(frozen=True)
class Restarted:
    """Workers finish what they run first, so no action is lost."""

    parts: tuple[str, ...]
    kind: ClassVar[str] = "parts_restarted"
    restarts: ClassVar[bool] = True
    undoes: ClassVar[str] = ""
    diff: ClassVar[str] = ""

    @property
    def does(self) -> str:
        """What it does."""
        finish = "; workers finish what they run first" if workers_of(self.parts) else ""
        turns = ", one after the other" if len(self.parts) > 1 else ""
        return f"restart {', '.join(self.parts)}{turns}{finish}"

    def stand(self, ground: Ground) -> Stand:
        """Nothing of it is to be taken back."""
        return Stand.BEFORE

    def do(self, ground: Ground) -> None:
        """Start them anew. Raises Fault."""
        from nlctl.doctor.anew import rolling

        rolling(ground, self.parts)

    def undo(self, ground: Ground) -> None:
        """Parts are started anew with what was, wherever their files were written back."""


KIND = Restarted

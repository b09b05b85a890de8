"""Processes that an action left behind end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from nlctl.doctor.change import Stand
from nlctl.launch.process import Identity, end

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground

_GRACE_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Ended:
    """Their ids, when each started, and their command lines."""

    pids: tuple[int, ...]
    starts: tuple[int, ...]
    titles: tuple[str, ...]
    kind: ClassVar[str] = "processes_ended"
    restarts: ClassVar[bool] = False
    undoes: ClassVar[str] = ""
    diff: ClassVar[str] = ""

    @property
    def does(self) -> str:
        """What it does."""
        named = (f"{pid} ({title})" for pid, title in zip(self.pids, self.titles, strict=True))
        return f"end what ran for actions that are over: {', '.join(named)}"

    def stand(self, ground: Ground) -> Stand:
        """Nothing of it is to be taken back."""
        return Stand.BEFORE

    def do(self, ground: Ground) -> None:
        """Ask them to end, and kill those that do not."""
        end(map(Identity, self.pids, self.starts), _GRACE_SECONDS)

    def undo(self, ground: Ground) -> None:
        """Nobody waits for them."""


KIND = Ended

"""A process that a signal holds goes on."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from nlctl.doctor.change import Stand
from nlctl.launch.process import Identity, alive, stands_still, tell

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground

_HALT_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.01


@dataclass(frozen=True)
class Woken:
    """The process of a part, by its id and when it started."""

    part: str
    pid: int
    start: int
    kind: ClassVar[str] = "process_woken"
    restarts: ClassVar[bool] = False
    diff: ClassVar[str] = ""

    @property
    def does(self) -> str:
        """What it does."""
        return f"let {self.part} go on (kill -CONT {self.pid})"

    @property
    def undoes(self) -> str:
        """What taking it back does."""
        return f"let {self.part} stand still (kill -STOP {self.pid})"

    def stand(self, ground: Ground) -> Stand:
        """Whether it runs; one that ended has nothing to take back."""
        return Stand.AFTER if alive(self._who) and not stands_still(self.pid) else Stand.BEFORE

    def do(self, ground: Ground) -> None:
        """Let it go on; a worker then shows that it does."""
        from nlctl.doctor.anew import proven

        tell(self._who, signal.SIGCONT)
        proven(ground, [self.part])

    def undo(self, ground: Ground) -> None:
        """Let it stand still."""
        tell(self._who, signal.SIGSTOP)
        deadline = time.monotonic() + _HALT_SECONDS
        while self.stand(ground) is Stand.AFTER and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)

    @property
    def _who(self) -> Identity:
        return Identity(self.pid, self.start)


KIND = Woken

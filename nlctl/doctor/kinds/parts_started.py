"""Parts that do not run are started, as `nlctl up` does."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from nlctl.doctor.change import Stand

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground

_GRACE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Started:
    """`absent` are the parts that were no members, `failing` those that were and did not run.

    `supervised` tells that somebody watched over the others; `loose` how many processes ran without.
    """

    absent: tuple[str, ...]
    failing: tuple[str, ...]
    supervised: bool
    loose: int = 0
    kind: ClassVar[str] = "parts_started"
    restarts: ClassVar[bool] = True
    diff: ClassVar[str] = ""

    @property
    def does(self) -> str:
        """What it does."""
        ends = f"end {self.loose} processes that run without a supervisor, then " if self.loose else ""
        return f"{ends}start {', '.join((*self.absent, *self.failing))}, and prove them by a canary"

    @property
    def undoes(self) -> str:
        """What taking it back does: a part that failed is left to its supervisor, which tries it anyhow."""
        return f"stop {', '.join(self.absent)}" if self.absent and not self.loose else ""

    def stand(self, ground: Ground) -> Stand:
        """Whether some of them are members."""
        from nlctl.launch import backends

        there = {one.name for one in backends.of(ground.ledger).reports() or ()}
        return Stand.AFTER if there & set(self.absent) else Stand.BEFORE

    def do(self, ground: Ground) -> None:
        """Bring the cluster to its recorded shape; what fails is left as it is, to be looked at. Raises Fault."""
        from nlctl.doctor.anew import as_recorded

        as_recorded(ground)

    def undo(self, ground: Ground) -> None:
        """End those that were no members before."""
        from nlctl.launch import backends

        backend = backends.of(ground.ledger)
        if not self.supervised:
            for _ in backend.stop(_GRACE_SECONDS, time.monotonic() + 2 * _GRACE_SECONDS):
                pass
            return
        backend.apply([one.wanted for one in backend.reports() or () if one.name not in self.absent], _GRACE_SECONDS)
        leaving = set(self.absent)
        for report in backend.watch(time.monotonic() + 2 * _GRACE_SECONDS):
            leaving -= {report.name} if report.state == "gone" else set()
            if not leaving & {one.name for one in backend.reports() or ()}:
                return


KIND = Started

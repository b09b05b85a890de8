"""A worker takes work again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nlctl import admin
from nlctl.doctor.change import Stand
from nlctl.session import admin_of

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground


@dataclass(frozen=True)
class Uncordoned:
    """The worker by its name."""

    worker: str
    kind: ClassVar[str] = "worker_uncordoned"
    restarts: ClassVar[bool] = False
    diff: ClassVar[str] = ""

    @property
    def does(self) -> str:
        """What it does."""
        return f"give {self.worker} work again"

    @property
    def undoes(self) -> str:
        """What taking it back does."""
        return f"give {self.worker} no new work; what it runs goes on"

    def stand(self, ground: Ground) -> Stand:
        """Whether it takes work; one that is gone has nothing to take back."""
        found = [one.state for one in admin.workers(admin_of(ground.target)) if one.name == self.worker]
        return Stand.AFTER if found and found[0] != "draining" else Stand.BEFORE

    def do(self, ground: Ground) -> None:
        """Let it take work."""
        admin.set_drain(admin_of(ground.target), [self.worker], draining=False)

    def undo(self, ground: Ground) -> None:
        """Let it take none."""
        admin.set_drain(admin_of(ground.target), [self.worker], draining=True)


KIND = Uncordoned

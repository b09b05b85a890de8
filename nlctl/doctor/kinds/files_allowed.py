"""A process may have more files open, without a restart."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nlctl.doctor.change import Stand
from nlctl.launch.process import Identity, alive

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground


@dataclass(frozen=True)
class Allowed:
    """The soft limit of one process before and after; `name` is what people call it."""

    name: str
    pid: int
    start: int
    before: int
    after: int
    kind: ClassVar[str] = "files_allowed"
    restarts: ClassVar[bool] = False
    diff: ClassVar[str] = ""

    @property
    def does(self) -> str:
        """What it does."""
        return f"let {self.name} (process {self.pid}) have {self.after} files open in place of {self.before}"

    @property
    def undoes(self) -> str:
        """What taking it back does."""
        return f"let {self.name} have {self.before} files open at most"

    def stand(self, ground: Ground) -> Stand:
        """Which limit it has; a process that ended has nothing to take back."""
        if not alive(Identity(self.pid, self.start)):
            return Stand.BEFORE
        soft, _ = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        return {self.before: Stand.BEFORE, self.after: Stand.AFTER}.get(soft, Stand.OTHER)

    def do(self, ground: Ground) -> None:
        """Allow more."""
        self._limit(self.after)

    def undo(self, ground: Ground) -> None:
        """Allow as many as before."""
        self._limit(self.before)

    def _limit(self, count: int) -> None:
        if alive(Identity(self.pid, self.start)):
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
                resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (count, hard))


KIND = Allowed

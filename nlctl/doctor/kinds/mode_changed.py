"""A file is its owner's alone."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nlctl.doctor.change import Stand

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground


@dataclass(frozen=True)
class Changed:
    """The permission bits before and after."""

    path: str
    before: int
    after: int
    kind: ClassVar[str] = "mode_changed"
    restarts: ClassVar[bool] = False
    diff: ClassVar[str] = ""

    @property
    def does(self) -> str:
        """What it does."""
        return f"chmod {self.after:o} {self.path}"

    @property
    def undoes(self) -> str:
        """What taking it back does."""
        return f"chmod {self.before:o} {self.path}"

    def stand(self, ground: Ground) -> Stand:
        """Which bits it has; a file that is gone has nothing to take back."""
        try:
            now = stat.S_IMODE(os.stat(self.path).st_mode)
        except OSError:
            return Stand.BEFORE
        return {self.before: Stand.BEFORE, self.after: Stand.AFTER}.get(now, Stand.OTHER)

    def do(self, ground: Ground) -> None:
        """Take the rights of others away."""
        os.chmod(self.path, self.after)

    def undo(self, ground: Ground) -> None:
        """Give them back."""
        os.chmod(self.path, self.before)


KIND = Changed

"""A file or folder is set aside: moved, not removed."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from nlctl.doctor.change import Stand

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground


@dataclass(frozen=True)
class Moved:
    """Where it was and where it goes."""

    source: str
    target: str
    kind: ClassVar[str] = "folder_moved"
    restarts: ClassVar[bool] = False
    diff: ClassVar[str] = ""

    @property
    def does(self) -> str:
        """What it does."""
        return f"move {self.source} to {self.target}"

    @property
    def undoes(self) -> str:
        """What taking it back does."""
        return f"put {self.source} back"

    def stand(self, ground: Ground) -> Stand:
        """OTHER when something new stands where it was."""
        if not os.path.lexists(self.target):
            return Stand.BEFORE
        return Stand.OTHER if os.path.lexists(self.source) else Stand.AFTER

    def do(self, ground: Ground) -> None:
        """Move it."""
        _move(self.source, self.target)

    def undo(self, ground: Ground) -> None:
        """Move it back."""
        _move(self.target, self.source)
        # What was made for it goes with it.
        with suppress(OSError):
            Path(self.target).parent.rmdir()


def _move(source: str, target: str) -> None:
    if os.path.lexists(source):
        Path(target).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.move(source, target)


KIND = Moved

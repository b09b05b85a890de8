"""A directory stands where a part needs it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from nlctl.doctor.change import Stand

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground


@dataclass(frozen=True)
class Made:
    """`kept` is where what stood there is kept, "" where nothing stood.

    Undoing leaves the directory and what came into it since under the name `beside`: those are blobs of somebody.
    """

    path: str
    kept: str
    beside: str
    kind: ClassVar[str] = "folder_made"
    restarts: ClassVar[bool] = False
    diff: ClassVar[str] = ""

    @property
    def does(self) -> str:
        """What it does."""
        aside = f"set the file {self.path} aside, and " if self.kept else ""
        return f"{aside}make the directory {self.path}"

    @property
    def undoes(self) -> str:
        """What taking it back does."""
        back = f", and put back what stood at {self.path}" if self.kept else ""
        return f"rename the directory {self.path} to {self.beside}{back}"

    def stand(self, ground: Ground) -> Stand:
        """Whether something was set aside, or the directory is there."""
        begun = os.path.lexists(self.kept) if self.kept else os.path.isdir(self.path)
        return Stand.AFTER if begun else Stand.BEFORE

    def do(self, ground: Ground) -> None:
        """Make it."""
        if os.path.isdir(self.path):
            return
        if os.path.lexists(self.path):
            Path(self.kept).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.move(self.path, self.kept)
        os.makedirs(self.path, exist_ok=True)

    def undo(self, ground: Ground) -> None:
        """Let stand there what stood there."""
        if os.path.isdir(self.path):
            os.rename(self.path, self.beside)
        if self.kept and os.path.lexists(self.kept):
            shutil.move(self.kept, self.path)


KIND = Made

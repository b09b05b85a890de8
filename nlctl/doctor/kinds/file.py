"""A file gets another text, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from nlctl.doctor.change import Stand
from nlctl.faults import CHANGED_SINCE, Fault, fix
from nlctl.launch.ledger import write
from nlctl.lint.repair import difference

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground


@dataclass(frozen=True)
class Rewritten:
    """`texts` are what it said and what it shall say; between them what an earlier step of the same fix wrote."""

    path: str
    texts: tuple[str, ...]
    kind: ClassVar[str] = "file"
    restarts: ClassVar[bool] = False

    @property
    def does(self) -> str:
        """What it does."""
        return f"write {self.path}"

    @property
    def undoes(self) -> str:
        """What taking it back does."""
        return f"write {self.path} as it was"

    @property
    def diff(self) -> str:
        """What it writes."""
        return difference(self.path, self.texts[0], self.texts[-1])

    def stand(self, ground: Ground) -> Stand:
        """Where the file stands."""
        text = self._text()
        if text == self.texts[0]:
            return Stand.BEFORE
        return Stand.AFTER if text in self.texts else Stand.OTHER

    def do(self, ground: Ground) -> None:
        """Write it. Raises Fault CHANGED_SINCE where somebody else wrote it meanwhile."""
        if self.stand(ground) is Stand.OTHER:
            raise Fault(
                CHANGED_SINCE,
                f"{self.path} was changed while this was planned",
                why="the repair was made for what it said then; nothing of it was written",
                fixes=[fix("plan anew", "nlctl", "doctor", "--fix")],
            )
        write(Path(self.path), self.texts[-1])

    def undo(self, ground: Ground) -> None:
        """Write what it said."""
        write(Path(self.path), self.texts[0])

    def _text(self) -> str | None:
        try:
            # As bytes, so that line ends stay as they are.
            return Path(self.path).read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            return None


KIND = Rewritten

"""The blob of no bytes is uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nlctl.doctor.change import Stand

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground


@dataclass(frozen=True)
class Uploaded:
    """It harms nobody, so it stays."""

    kind: ClassVar[str] = "empty_uploaded"
    restarts: ClassVar[bool] = False
    does: ClassVar[str] = "upload the empty blob"
    undoes: ClassVar[str] = ""
    diff: ClassVar[str] = ""

    def stand(self, ground: Ground) -> Stand:
        """Nothing of it is to be taken back."""
        return Stand.BEFORE

    def do(self, ground: Ground) -> None:
        """Upload it."""
        from nlserver.reapi.digest import EMPTY

        # Not `upload`, which knows that everybody has it.
        ground.with_client(lambda remote: remote.blobs.put(EMPTY[remote.function], b""))

    def undo(self, ground: Ground) -> None:
        """It stays."""


KIND = Uploaded

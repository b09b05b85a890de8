"""What a change is: the smallest thing that a repair does, which can be told from its undoing at any moment.

A change looks at the world to know whether it is done, never at a mark of its own: so a fix that was killed halfway is
taken back, or done again, like one that came to its end.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground


class Stand(StrEnum):
    """Where the world stands."""

    BEFORE = "before"
    """As it was: nothing is to be taken back."""
    AFTER = "after"
    """The change was done, or begun."""
    OTHER = "other"
    """Somebody else changed it since; undoing would lose that."""


class Change(Protocol):
    """A frozen dataclass whose fields are texts, numbers and tuples of those: a journal keeps them.

    `do` and `undo` may be called again after either was interrupted. Both raise Fault or Error.
    """

    kind: ClassVar[str]
    restarts: ClassVar[bool]
    """Whether it starts or ends parts: such changes come last, and are taken back first."""

    @property
    def does(self) -> str:
        """What it does, as a phrase."""
        ...

    @property
    def undoes(self) -> str:
        """What taking it back does, as a phrase; "" where nothing is lost and nothing to take back."""
        ...

    @property
    def diff(self) -> str:
        """What it writes, as `diff -u` shows it; "" for what writes no file."""
        ...

    def stand(self, ground: Ground) -> Stand:
        """Where the world stands."""
        ...

    def do(self, ground: Ground) -> None:
        """Make it so."""
        ...

    def undo(self, ground: Ground) -> None:
        """Bring back what was."""
        ...

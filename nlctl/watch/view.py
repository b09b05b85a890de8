"""What is looked at, and what keys do to it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

PANES: Final = ("workers", "parts", "operations", "queues", "stores")
_PAGE: Final = 10
_MOVES: Final = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -_PAGE, "pagedown": _PAGE}


@dataclass(frozen=True)
class Quit:
    """Leave."""


@dataclass(frozen=True)
class Drain:
    """Give a worker no new work, or work again. `worker` is its id."""

    worker: str
    name: str
    draining: bool


@dataclass(frozen=True)
class Explain:
    """Say why an operation does not run."""

    operation: str


Wish = Quit | Drain | Explain


@dataclass(frozen=True)
class Row:
    """One line of a table: what it stands for, and whether it is a worker that drains."""

    key: str
    name: str
    draining: bool = False


@dataclass
class View:
    """The pane, the chosen row of each, the filter, what is being typed or asked, and what is shown over the table."""

    pane: str = PANES[0]
    filter: str = ""
    typing: bool = False
    asking: Drain | None = None
    message: str = ""
    page: Sequence[str] = ()
    chosen: dict[str, str] = field(default_factory=dict)

    def place(self, rows: Sequence[Row]) -> int:
        """Where the chosen row stands; the first where it is gone."""
        keys = [row.key for row in rows]
        key = self.chosen.get(self.pane, "")
        return keys.index(key) if key in keys else 0

    def press(self, key: str, rows: Sequence[Row], oldest: str) -> Wish | None:
        """Take a key: a character, or the name of one. `rows` are those shown, `oldest` the first operation that waits.

        What is to be done comes back; everything else happens to the view.
        """
        if self.typing:
            self._type(key)
            return None
        if self.asking is not None:
            wish, self.asking = self.asking, None
            self.message = "" if key in ("y", "Y") else "nothing was changed"
            return wish if key in ("y", "Y") else None
        self.message = ""
        if self.page:
            self.page = ()
            return Quit() if key == "q" else None
        return self._command(key, rows, oldest)

    def _type(self, key: str) -> None:
        if key in ("enter", "escape"):
            self.typing = False
            self.filter = "" if key == "escape" else self.filter
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self.filter += key

    def _command(self, key: str, rows: Sequence[Row], oldest: str) -> Wish | None:
        match key:
            case "q":
                return Quit()
            case "1" | "2" | "3" | "4" | "5":
                self.pane = PANES[int(key) - 1]
            case "/":
                self.typing, self.filter = True, ""
            case "escape":
                self.filter = ""
            case "d":
                self._ask(rows)
            case "e":
                return self._explain(rows, oldest)
            case "home" | "end":
                self._choose(rows, 0 if key == "home" else len(rows) - 1)
            case _ if key in _MOVES:
                self._choose(rows, self.place(rows) + _MOVES[key])
        return None

    def _choose(self, rows: Sequence[Row], place: int) -> None:
        if rows:
            self.chosen[self.pane] = rows[min(max(place, 0), len(rows) - 1)].key

    def _ask(self, rows: Sequence[Row]) -> None:
        if self.pane != "workers" or not rows:
            self.message = "choose a worker in pane 1 to drain it"
            return
        row = rows[self.place(rows)]
        self.asking = Drain(row.key, row.name, not row.draining)

    def _explain(self, rows: Sequence[Row], oldest: str) -> Wish | None:
        chosen = rows[self.place(rows)].key if self.pane == "operations" and rows else oldest
        if not chosen:
            self.message = "nothing waits"
            return None
        return Explain(chosen)

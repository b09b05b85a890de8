"""What a rule says of a config."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from nlserver.spec import Place

_TOKEN: Final = re.compile(r"""https?://[^\s"']+|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s{}\[\]:,"']+|.""")


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """It does not start, or fails when it is used."""
    WARNING = "warning"
    """It starts, and will surprise somebody."""
    INFO = "info"
    """Right here, and wrong elsewhere: on real NativeLink, on other machines."""


@dataclass(frozen=True)
class Edit:
    """A repair of a file: `length` characters from line and column, both counted from 1, become `text`."""

    file: str
    line: int
    column: int
    length: int
    text: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. `edits` repair it without changing what the file means otherwise; often there are none.

    `nlx` is its id in the catalogue of defects of configs for NativeLink, "" where it has none.
    `place` on line 0 is the file itself; `excerpt` is the line that it is in.
    """

    id: str
    severity: Severity
    place: Place
    what: str
    why: str
    fix: str
    excerpt: str = ""
    edits: tuple[Edit, ...] = ()
    nlx: str = ""

    @property
    def length(self) -> int:
        """How many characters of the line are meant."""
        return token_length(self.excerpt, self.place.column)

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "id": self.id,
            "severity": str(self.severity),
            "file": self.place.file,
            "line": self.place.line or None,
            "column": self.place.column or None,
            "path": self.place.path,
            "what": self.what,
            "why": self.why,
            "fix": self.fix,
            "fixable": bool(self.edits),
            "source": self.excerpt or None,
        }


def token_length(line: str, column: int) -> int:
    """How many characters the key or value has that begins at this column, counted from 1."""
    match = _TOKEN.match(line, max(0, column - 1))
    return len(match[0]) if match else 1

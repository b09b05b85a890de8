"""What a check found: a verdict, a sentence, the evidence with where it was read, and the fix. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from nlctl.faults import Fix


class Verdict(StrEnum):
    """How a check ended, from good to bad as `rank` orders them."""

    OK = "ok"
    INFO = "info"
    """Nothing to do; good to know."""
    SKIPPED = "skipped"
    """Not looked at: it does not apply here, or what it builds on failed."""
    UNKNOWN = "unknown"
    """It could not be looked at; the finding says what was missing."""
    WARNING = "warning"
    """It works, and will bite."""
    FAILED = "failed"
    """It is broken now."""

    @property
    def rank(self) -> int:
        """Grows with how bad it is."""
        return list(Verdict).index(self)


class Evidence(NamedTuple):
    """A measured value, and where it was read."""

    name: str
    value: str
    source: str


ADDRESSES: Final = "addresses"
"""For `recorded`: where a config dials and listens, and the instance names that it gives there."""
PROPERTIES: Final = "properties"
"""For `recorded`: what workers offer and schedulers compare."""
LIMITS: Final = "limits"
"""For `recorded`: how much stores keep."""
WHOLE: Final = "whole"
"""For `recorded`: the whole file, where nothing less is known to be wrong."""


class Remedy(NamedTuple):
    """What mends it: the name of a repair (a file of `repairs/`), and what it is told."""

    repair: str
    about: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One sentence of a check. `because` says why that is bad or how it comes; `certain` is False for a guess.

    `blocked_by` of one that was skipped is the check that names the cause: one cause gives one failure.
    `remedies` are what `nlctl doctor --fix` may do about it; none where no repair is safe.
    """

    verdict: Verdict
    what: str
    because: str = ""
    evidence: tuple[Evidence, ...] = ()
    fixes: tuple[Fix, ...] = ()
    certain: bool = True
    remedies: tuple[Remedy, ...] = ()
    blocked_by: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "status": str(self.verdict),
            "what": self.what,
            "because": self.because or None,
            "evidence": [one._asdict() for one in self.evidence],
            "fix": [{"text": one.text, "command": list(one.command)} for one in self.fixes],
            "confidence": "certain" if self.certain else "likely",
            "fixable": bool(self.remedies),
            "blocked_by": self.blocked_by or None,
        }


def ok(what: str, *evidence: Evidence) -> Finding:
    """All is well."""
    return Finding(Verdict.OK, what, evidence=evidence)


def skipped(why: str) -> Finding:
    """It was not looked at."""
    return Finding(Verdict.SKIPPED, why)


def blocked(check: str) -> Finding:
    """It would only tell again what this check tells."""
    return Finding(Verdict.SKIPPED, f"{check} must be mended first", blocked_by=check)


def unknown(what: str, because: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(Verdict.UNKNOWN, what, because)

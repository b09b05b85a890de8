"""What is other than at the look before. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from nlctl.doctor.examination import Outcome
from nlctl.doctor.finding import Finding, Verdict

_BAD = (Verdict.FAILED, Verdict.WARNING, Verdict.UNKNOWN)
_number = re.compile(r"\d+(\.\d+)?")


class Change(NamedTuple):
    """A finding that came, with `before` empty, or a check that is content again, with what it said before."""

    outcome: Outcome
    finding: Finding
    before: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "id": self.outcome.check.id,
            "area": self.outcome.check.area,
            "status": str(self.finding.verdict),
            "what": self.finding.what,
            "before": self.before or None,
        }


def changes(before: Sequence[Outcome], now: Sequence[Outcome]) -> Iterator[Change]:
    """What came and what went. Sentences that differ in numbers alone are the same."""
    known = {one.check.id: one for one in before}
    for outcome in now:
        old = known.get(outcome.check.id)
        was = {_alike(one): one.what for one in old.findings if one.verdict in _BAD} if old else {}
        bad = [one for one in outcome.findings if one.verdict in _BAD]
        for one in bad:
            if _alike(one) not in was:
                yield Change(outcome, one)
        if was and not bad:
            yield Change(outcome, outcome.findings[0], next(iter(was.values())))


def _alike(found: Finding) -> tuple[Verdict, str]:
    return found.verdict, _number.sub("#", found.what)

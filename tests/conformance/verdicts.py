"""From the reports of tests to a verdict for each rule, and to the table. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.conformance.catalogue import Catalogue, section_of


class Verdict(StrEnum):
    """What is to be said of a rule."""

    PASSED = "passed"
    REFUSED = "refused on purpose"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"
    NOT_RUN = "not run"


class Ended(StrEnum):
    """How one test of a rule ended. `REFUSED` is a test that failed as `[refused]` says it must."""

    PASSED = "passed"
    FAILED = "failed"
    REFUSED = "refused"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """One test: the rules that it is about, how it ended, and why where it did not pass."""

    rules: tuple[str, ...]
    ended: Ended
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    rule: str
    text: str
    verdict: Verdict
    note: str = ""


def rows(catalogue: Catalogue, outcomes: Iterable[Outcome]) -> list[Row]:
    """A row for every rule of the catalogue, in its order."""
    by_rule: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        for rule_id in outcome.rules:
            by_rule.setdefault(rule_id, []).append(outcome)
    return [
        Row(rule_id, text, *_verdict(catalogue, rule_id, by_rule.get(rule_id, [])))
        for rule_id, text in catalogue.rules.items()
    ]


def _verdict(catalogue: Catalogue, rule_id: str, outcomes: Sequence[Outcome]) -> tuple[Verdict, str]:
    ended = {outcome.ended: outcome for outcome in outcomes}
    if Ended.FAILED in ended:
        return Verdict.FAILED, ""
    if Ended.REFUSED in ended:
        refused = catalogue.refused[rule_id]
        return Verdict.REFUSED, f"{refused.answer} ({refused.page})"
    if Ended.PASSED in ended:
        return Verdict.PASSED, ""
    if Ended.SKIPPED in ended:
        return Verdict.NOT_APPLICABLE, ended[Ended.SKIPPED].reason
    if rule_id in catalogue.not_applicable:
        return Verdict.NOT_APPLICABLE, catalogue.not_applicable[rule_id]
    return Verdict.NOT_RUN, ""


def table(made: Sequence[Row]) -> Iterator[str]:
    """A line for every rule that was judged: ID, verdict, the rule, and the note."""
    for row in made:
        if row.verdict is not Verdict.NOT_RUN:
            note = f" [{row.note}]" if row.note else ""
            yield f"{row.rule:<7} {row.verdict:<19} {row.text}{note}"


def counts(titles: Mapping[str, str], made: Sequence[Row]) -> Iterator[str]:
    """A line for every section, and one for all: how many rules have each verdict."""
    shown = list(Verdict)
    yield f"{'section':<48}" + "".join(f"{verdict:>20}" for verdict in shown)
    by_section = Counter((section_of(row.rule), row.verdict) for row in made)
    for name, title in titles.items():
        yield f"{name:<4} {title:<43}" + "".join(f"{by_section[name, verdict]:>20}" for verdict in shown)
    total = Counter(row.verdict for row in made)
    yield f"{'all':<48}" + "".join(f"{total[verdict]:>20}" for verdict in shown)


def document(target: str, made: Sequence[Row]) -> str:
    """The same as JSON."""
    total = Counter(row.verdict for row in made)
    return json.dumps(
        {
            "target": target,
            "counts": {verdict.value: total[verdict] for verdict in Verdict},
            "rules": [
                {"id": row.rule, "rule": row.text, "verdict": row.verdict.value, "note": row.note} for row in made
            ],
        },
        indent=1,
    )

"""Every rule is accounted for: proved by a test, or listed with the reason why it is not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.catalogue import CATALOGUE, HERE, section_of
from tests.conformance.verdicts import Ended, Outcome, Verdict, rows

DECISIONS = HERE.parents[1] / "server/decisions"


def named(mark: str, **keywords: bool) -> set[str]:
    """The IDs that tests of this folder name by this mark, with these keywords where any are given."""
    return {rule_id for path in HERE.glob("test_*.py") for rule_id in _marked(path, mark, keywords)}


def _marked(path: Path, mark: str, keywords: dict[str, bool]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == mark):
            continue
        given = {word.arg: ast.literal_eval(word.value) for word in node.keywords}
        if keywords.items() <= given.items():
            yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))


def test_every_rule_is_proved_by_a_test_or_has_a_reason_why_not() -> None:
    assert set(CATALOGUE.rules) - named("rule") - set(CATALOGUE.not_applicable) == set()


def test_no_rule_is_both_proved_and_called_impossible_to_prove() -> None:
    assert named("rule") & set(CATALOGUE.not_applicable) == set()


def test_tests_and_lists_name_only_rules_that_there_are() -> None:
    listed = {*CATALOGUE.not_applicable, *CATALOGUE.not_offered, *CATALOGUE.refused}
    assert (named("rule") | named("departure") | listed) - set(CATALOGUE.rules) == set()


def test_every_rule_that_we_refuse_has_a_test_of_our_answer_and_a_page_with_the_reason() -> None:
    assert named("departure") == named("rule", refused=True) == set(CATALOGUE.refused)
    pages = {entry.page for entry in CATALOGUE.refused.values()}
    assert [page for page in pages if not (DECISIONS / page).is_file()] == []


def test_ids_count_up_within_their_sections() -> None:
    by_section: dict[str, list[str]] = {}
    for rule_id in CATALOGUE.rules:
        by_section.setdefault(section_of(rule_id), []).append(rule_id)
    assert list(by_section) == list(CATALOGUE.titles)
    for name, ids in by_section.items():
        assert ids == [f"{name}-{number:02}" for number in range(1, len(ids) + 1)]


def test_one_failed_test_fails_its_rule_and_a_skipped_one_beside_a_passed_one_does_not_count() -> None:
    outcomes = [
        Outcome(("FMB-01",), Ended.PASSED),
        Outcome(("FMB-01", "FMB-02"), Ended.FAILED),
        Outcome(("FMB-03",), Ended.SKIPPED, "absent"),
        Outcome(("FMB-04",), Ended.SKIPPED, "absent"),
        Outcome(("FMB-04",), Ended.PASSED),
    ]
    verdicts = {row.rule: (row.verdict, row.note) for row in rows(CATALOGUE, outcomes)}
    assert verdicts["FMB-01"] == verdicts["FMB-02"] == (Verdict.FAILED, "")
    assert verdicts["FMB-03"] == (Verdict.NOT_APPLICABLE, "absent")
    assert verdicts["FMB-04"] == (Verdict.PASSED, "")
    assert verdicts["FMB-05"] == (Verdict.NOT_RUN, "")
    assert verdicts["LOG-01"][0] is Verdict.NOT_APPLICABLE

"""How findings are told: each cause once, only what changed, and as a page."""

from __future__ import annotations

import html.parser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nlctl.doctor.changes import changes
from nlctl.doctor.checks import every
from nlctl.doctor.examination import Outcome
from nlctl.doctor.finding import Evidence, Finding, Verdict, ok
from nlctl.doctor.merging import PROOFS, merged
from nlctl.doctor.page import page
from nlctl.faults import fix
from tests.nlctl.conftest import Cli

LIVE = Finding(
    Verdict.FAILED,
    "worker-2 reads from another CAS than clients write to: grpc://b:1",
    "because",
    (Evidence("worker-2:CAS_STORE/slow", "absent", "grpc://b:1"),),
    (fix("set the endpoint"),),
)
LINT = Finding(
    Verdict.FAILED,
    "this worker's blobs are at b",
    evidence=(Evidence("NL-CFG-144", "cas_fast_slow_store", "/home/config/worker-2.json5:12"),),
    fixes=(fix("one CAS server for both"),),
)
OTHER = replace(LINT, evidence=(Evidence("NL-CFG-120", "x", "config/worker-3.json5:9"),))


def outcome(id_: str, *found: Finding) -> Outcome:
    return Outcome(every()[id_], found, 1.0)


def told(*found: Finding, live: Sequence[Finding] = (LIVE,)) -> dict[str, tuple[Finding, ...]]:
    made = merged([outcome("NLD-CFG-01", *found), outcome("NLD-SHR-01", *live)])
    return {one.check.id: one.findings for one in made}


def test_what_a_probe_proves_is_told_once_with_the_config_as_evidence() -> None:
    found = told(LINT)
    assert [one.verdict for one in found["NLD-CFG-01"]] == [Verdict.OK]
    [proved] = found["NLD-SHR-01"]
    assert proved.evidence == (*LIVE.evidence, *LINT.evidence)
    assert [one.text for one in proved.fixes] == ["set the endpoint", "one CAS server for both"]


def test_what_the_config_says_of_another_part_stands_beside_it() -> None:
    found = told(LINT, OTHER)
    assert found["NLD-CFG-01"] == (OTHER,)
    assert len(found["NLD-SHR-01"][0].evidence) == 2


def test_two_parts_at_odds_are_told_once_whichever_of_them_the_config_names() -> None:
    named = replace(LINT, evidence=(Evidence("NL-CFG-144", "x", "config/scheduler.json5:9"),))
    assert [one.verdict for one in told(named)["NLD-CFG-01"]] == [Verdict.OK]


@pytest.mark.parametrize("live", [(), (ok("all is seen"),), (replace(LIVE, verdict=Verdict.SKIPPED),)])
def test_without_a_proof_the_config_speaks_for_itself(live: tuple[Finding, ...]) -> None:
    assert told(LINT, live=live or (ok("x"),))["NLD-CFG-01"] == (LINT,)


def test_examinations_without_configs_stay_as_they_are() -> None:
    alone = [outcome("NLD-SHR-01", LIVE)]
    assert merged(alone) == alone


def test_rules_and_checks_that_prove_them_exist() -> None:
    from nlctl.lint.rules import every as rules

    assert {id_ for proofs in PROOFS.values() for id_ in proofs} <= set(every())
    assert set(PROOFS) <= {one.id for one in rules()}


WAITS = Finding(Verdict.WARNING, "the oldest of 3 operations waits for 400s")
CASES: list[tuple[Sequence[Finding], Sequence[Finding], list[tuple[str, str]]]] = [
    ([ok("fine")], [ok("fine")], []),
    ([ok("fine")], [LIVE], [("failed", "")]),
    ([LIVE], [LIVE], []),
    ([LIVE], [ok("fine")], [("ok", LIVE.what)]),
    ([LIVE], [replace(LIVE, what="worker-b reads elsewhere")], [("failed", "")]),
    ([WAITS], [replace(WAITS, what="the oldest of 9 operations waits for 410s")], []),
    ([WAITS], [replace(WAITS, verdict=Verdict.FAILED)], [("failed", "")]),
]


@pytest.mark.parametrize(("before", "now", "found"), CASES)
def test_only_what_came_and_what_went_is_a_change(
    before: Sequence[Finding], now: Sequence[Finding], found: list[tuple[str, str]]
) -> None:
    made = changes([outcome("NLD-SHR-01", *before)], [outcome("NLD-SHR-01", *now)])
    assert [(str(one.finding.verdict), one.before) for one in made] == found


def test_at_the_first_look_everything_that_is_bad_is_news() -> None:
    assert [one.finding for one in changes([], [outcome("NLD-SHR-01", LIVE), outcome("NLD-QUE-02", ok("x"))])] == [LIVE]


class Reader(html.parser.HTMLParser):
    """What a browser would do with a page: the text, the tags that are open, what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_by_itself_and_says_everything() -> None:
    odd = replace(LIVE, what="<b>worker-2</b> & 'others'")
    text = page([outcome("NLD-SHR-01", odd), outcome("NLD-QUE-02", ok("nothing waits"))], "Examination", "now", 1.2)
    read = Reader(text)
    assert read.open == []
    assert "script" not in read.tags
    assert read.fetched == []
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    for words in (odd.what, odd.because, "grpc://b:1", "set the endpoint", "nothing waits", "1 failure; 2 checks"):
        assert words in read.text


def test_a_page_without_trouble_has_no_part_for_it() -> None:
    text = page([outcome("NLD-QUE-02", ok("nothing waits"))], "Examination", "now", 1.2)
    assert "What needs attention" not in text
    assert "nothing is wrong; 1 checks" in text


def test_a_report_of_another_kind_is_refused(cli: Cli, tmp_path: Path) -> None:
    place = ("--endpoint", "grpc://127.0.0.1:1", "doctor", "network", "--report")
    assert cli(*place, str(tmp_path / "x.pdf"), "-o", "json", code=2).fault["code"] == "NL-USE-101"
    cli(*place, str(tmp_path / "x.html"), code=4)
    assert "NLD-NET-01" in (tmp_path / "x.html").read_text()

"""How problems are shown, and what is suggested."""

from __future__ import annotations

import pytest
from nlserver.config.problem import ConfigError, Problem, nearest, render
from nlserver.spec import Place


def test_a_problem_is_shown_as_a_compiler_does() -> None:
    place = Place("stores[0].memroy", 3, 18, "cas.json5")
    problem = Problem(place, 'unknown kind "memroy"', "memory", excerpt='    {name: "X", memroy: {}},')
    assert render([problem]) == (
        'cas.json5:3:18: error: stores[0].memroy: unknown kind "memroy" (did you mean "memory"?)\n'
        '        {name: "X", memroy: {}},\n'
        "                     ^\n"
    )


def test_a_problem_of_the_whole_file_has_no_line() -> None:
    assert render([Problem(Place("", 0, 0, "x.json5"), "Could not open")]) == "x.json5: error: Could not open\n"


def test_problems_come_in_the_order_of_the_file_and_each_once() -> None:
    late = Problem(Place("b", 9, 1, "f"), "late", fatal=False)
    early = Problem(Place("a", 2, 5, "f"), "early")
    assert render([late, early, late]) == "f:2:5: error: a: early\nf:9:1: warning: b: late\n"


def test_what_a_terminal_would_obey_is_not_sent_to_it() -> None:
    hostile = "\x1b[31m\u202eevil\r\n\ud800"
    shown = render([Problem(Place(hostile, 1, 1, hostile), hostile, excerpt=hostile)])
    assert not set("\x1b\u202e\r\ud800") & set(shown)
    assert shown.count("\n") == 3
    shown.encode()


def test_a_long_line_is_cut_around_the_caret() -> None:
    line = "x" * 5000 + "HERE" + "y" * 5000
    _, excerpt, caret = render([Problem(Place("p", 1, 5001, "f"), "r", excerpt=line)]).splitlines()
    assert len(excerpt) < 120
    assert excerpt[caret.index("^") :].startswith("HERE")


def test_tabs_keep_the_caret_in_its_column() -> None:
    _, excerpt, caret = render([Problem(Place("p", 1, 3, "f"), "r", excerpt="\t\tkey: 1")]).splitlines()
    assert excerpt[caret.index("^") :].startswith("key")


@pytest.mark.parametrize(
    ("wrong", "valid", "expected"),
    [
        ("filesytem", ["filesystem", "memory"], "filesystem"),
        ("Memory", ["filesystem", "memory"], "memory"),
        ("mongo", ["experimental_mongo", "memory"], "experimental_mongo"),
        ("redis", ["redis_store", "noop"], "redis_store"),
        ("zzz", ["filesystem", "memory"], None),
        ("", ["a"], None),
        ("x" * 100_000, ["filesystem"], None),
    ],
)
def test_the_nearest_valid_word_is_suggested(wrong: str, valid: list[str], expected: str | None) -> None:
    assert nearest(wrong, valid) == expected


def test_the_error_names_the_first_problem_and_how_many_more_there_are() -> None:
    problems = [Problem(Place("a", 1, 2, "f"), "bad"), Problem(Place("b", 2, 2, "f"), "worse")]
    assert str(ConfigError(problems)) == "a: bad, and 1 more problem (f:1:2)"

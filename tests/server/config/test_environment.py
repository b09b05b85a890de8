"""References to environment variables."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.config.environment import UnsetError, expand

_SET = {"A": "x", "EMPTY": "", "LONG_1": "long", "1x": "one", "Ü": "umlaut", "NESTED": "$A"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("$A", "x"),
        ("${A}", "x"),
        ("a${A}b$A", "axbx"),
        ("$LONG_1/", "long/"),
        ("$1x", "one"),
        ("$Ü", "umlaut"),
        ("${A:-d}", "x"),
        ("${B:-d}", "d"),
        ("${B:-}", ""),
        ("${EMPTY:-d}", ""),
        ("$EMPTY", ""),
        ("${B:-a:-b}", "a:-b"),
        ("$$", "$"),
        ("$$A", "$A"),
        ("$$$A", "$x"),
        ("$", "$"),
        ("a$ b", "a$ b"),
        ("$-", "$-"),
        ("100$", "100$"),
        ("${A", "${A"),
        ("${", "${"),
        ("$NESTED", "$A"),
        ("${B:-$A}", "$A"),
        ("${B:-${C:-c}}", "${C:-c}"),
        ("${A:-${C:-c}}", "x}"),
        ("~/x", "~/x"),
        (" $A ", " x "),
        ("grpc://${CAS_ENDPOINT:-127.0.0.1}:50051", "grpc://127.0.0.1:50051"),
    ],
)
def test_references_are_replaced_once_and_nothing_else_is_touched(text: str, expected: str) -> None:
    assert expand(text, _SET) == expected


@pytest.mark.parametrize(("text", "name"), [("$B", "B"), ("${B}", "B"), ("${:-x}", ":-x"), ("${}", ""), ("$Ax", "Ax")])
def test_an_unset_variable_without_a_default_is_an_error_that_names_it(text: str, name: str) -> None:
    with pytest.raises(UnsetError) as caught:
        expand(text, _SET)
    assert caught.value.name == name


@settings(deadline=None)
@given(st.text(alphabet="$ABx{}:- _1", max_size=30))
def test_any_text_is_expanded_or_names_an_unset_variable(text: str) -> None:
    unset = None
    try:
        expand(text, _SET)
    except UnsetError as error:
        unset = error.name
    assert unset not in _SET


@settings(deadline=None)
@given(st.text().filter(lambda text: "$" not in text))
def test_a_text_without_dollars_stays_as_it_is(text: str) -> None:
    assert expand(text, {}) == text

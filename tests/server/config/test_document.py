"""JSON5 values and their places."""

from __future__ import annotations

from typing import Any

import json5
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from nlserver.config.document import Object, Value, parse, under
from nlserver.config.problem import ConfigError


def plain(value: Value) -> Any:
    """What the json5 package would have said: duplicates merged."""
    match value.content:
        case Object(pairs=pairs):
            return {name.text: plain(item) for name, item in pairs}
        case tuple():
            return [plain(item) for item in value.content]
        case other:
            return other


def places(value: Value) -> dict[str, tuple[int, int]]:
    found = {value.place.path: (value.place.line, value.place.column)}
    for item in (*value.items, *(item for _, item in value.pairs)):
        found |= places(item)
    return found


def failure(text: str) -> tuple[int, int, str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    (problem,) = caught.value.problems
    return problem.place.line, problem.place.column, problem.reason


def test_every_value_and_every_key_knows_its_line_and_column() -> None:
    text = """{
  // a comment with { [ : , "
  a: 1, 'b c': [true,
    /* " */ "x: {",
    {d: null}],
  "lre-rs": +.5, }
"""
    root = parse(text, "x.json5").root
    assert places(root) == {
        "": (1, 1),
        "a": (3, 6),
        '["b c"]': (3, 16),
        '["b c"][0]': (3, 17),
        '["b c"][1]': (4, 13),
        '["b c"][2]': (5, 5),
        '["b c"][2].d': (5, 9),
        '["lre-rs"]': (6, 13),
    }
    assert [(name.place.line, name.place.column) for name, _ in root.pairs] == [(3, 3), (3, 9), (6, 3)]
    assert root.place.file == "x.json5"


def test_the_language_is_that_of_the_json5_package() -> None:
    text = (
        "\ufeff{a: +5, b: .5, c: 5., d: 0x1F, e: -0x1, f: Infinity, 'g': 'a\\\nb', h: [1,], \"i\": \"\\u0041\", /**/ }"
    )
    assert plain(parse(text, "f").root) == json5.loads(text)


def test_duplicate_keys_and_their_order_are_kept() -> None:
    root = parse("{b: 1, a: 2, b: 3}", "f").root
    assert [(name.text, item.content) for name, item in root.pairs] == [("b", 1), ("a", 2), ("b", 3)]
    assert root.get("b") is root.pairs[2][1]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("{a: 1\n b: 2}", 2, 2),
        ("{a: }", 1, 5),
        ("[1, 2", 1, 6),
        ("{}\n{}", 2, 1),
        ("012", 1, 2),
        ("{1: 2}", 1, 2),
        ("{a: 1,, b: 2}", 1, 7),
        ("{a: 1, // x\n - b: 2}", 2, 2),
        ("[-x]", 1, 3),
        ('{a: "x\ny"}', 1, 7),
    ],
)
def test_what_is_not_json5_is_one_problem_at_its_place(text: str, line: int, column: int) -> None:
    assert failure(text)[:2] == (line, column)


def test_hash_comments_are_refused_with_the_comments_there_are() -> None:
    assert "comments begin with //" in failure("{\n# no\n}")[2]


@pytest.mark.parametrize("text", ["", "   \n", "\ufeff"])
def test_an_empty_file_says_that_it_is_empty(text: str) -> None:
    assert "the file is empty" in failure(text)[2]


def test_what_is_nested_without_end_is_a_problem_and_no_crash() -> None:
    assert "nested too deeply" in failure("[" * 5000 + "]" * 5000)[2]


def test_stores_may_be_nested_twenty_levels_deep() -> None:
    text = "{a: " * 40 + "1" + "}" * 40
    assert parse(text, "f").root.pairs


@pytest.mark.parametrize(
    "text",
    ["9223372036854775808", "-9223372036854775809", "0x100000000", "-0x100000000", "9" * 5000, "0x" + "f" * 5000],
)
def test_integers_out_of_range_are_problems(text: str) -> None:
    document = parse(f"{{\n a: {text}}}", "f")
    assert [(problem.place.path, problem.place.line) for problem in document.problems] == [("a", 2)]


@pytest.mark.parametrize(
    "text", ["9223372036854775807", "-9223372036854775808", "0xFFFFFFFF", "0x" + "0" * 60 + "1", "1e400"]
)
def test_numbers_in_range_are_none(text: str) -> None:
    assert parse(f"{{a: {text}}}", "f").problems == ()


def test_keys_that_are_no_plain_words_stand_in_brackets_in_a_path() -> None:
    assert under("a.b", "c") == "a.b.c"
    assert under("", "c") == "c"
    assert under("a", "lre-rs") == 'a["lre-rs"]'


_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
)
_DOCUMENTS = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=50)
@given(_DOCUMENTS, st.sampled_from([None, 0, 2]), st.booleans())
def test_places_never_lose_step_with_the_values(document: Any, indent: int | None, quote: bool) -> None:
    text = json5.dumps(document, indent=indent, quote_keys=quote, trailing_commas=True)
    try:
        expected = json5.loads(text)
    except ValueError:
        # The package writes some odd keys without the quotes that they need.
        reject()
    parsed = parse(text, "f")
    assert plain(parsed.root) == expected
    lines = parsed.lines
    for line, column in places(parsed.root).values():
        assert lines[line - 1][column - 1 :].strip()


_WORDS = (
    "//",
    "/*",
    "*/",
    "'b'",
    '"c"',
    "0x",
    "e5",
    "null",
    "true",
    "NaN",
    "Infinity",
    "\r\n",
    "\u2028",
    "\ufeff",
    "\\u0061",
)
_PIECES = st.sampled_from([*"{}[]:,\"'\\a1-+.\n #\x00\ud800", *_WORDS])


@settings(deadline=None)
@given(st.lists(_PIECES, max_size=14).map("".join) | st.text(max_size=30))
def test_any_text_is_a_document_or_one_problem(text: str) -> None:
    problems = 0
    try:
        parse(text, "f")
    except ConfigError as error:
        problems = len(error.problems)
    assert problems <= 1

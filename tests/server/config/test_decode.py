"""The decoder, on Specs of its own: every rule of scalars, keys, objects, lists, maps and unions."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Self

import pytest
from nlserver.config.decode import Decoder
from nlserver.config.document import parse
from nlserver.config.problem import Problem
from nlserver.spec import U32, Flag, Key, Number, Seconds, SignedSeconds, Size, Spec, Text, Unavailable, key

ENVIRONMENT = {"A": "x", "EMPTY": "", "NUMBER": " 7 ", "SIZE": "2k", "YES": "TRUE", "WAIT": "1m"}


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Shape(Spec, kinds=""):
    """A union in one module."""


@dataclass(frozen=True, kw_only=True)
class Point(Shape, tag="point"):
    """A kind without keys."""


@dataclass(frozen=True, kw_only=True)
class Circle(Shape, tag="circle"):
    """A kind with a key that must be there."""

    radius: int


@dataclass(frozen=True, kw_only=True)
class Inner(Spec):
    name: str
    count: int = 0


@dataclass(frozen=True, kw_only=True)
class Everything(Spec):
    word: str = ""
    text: Text = ""
    size: Size = 0
    size32: Size = key(default=0, most=U32)
    seconds: Seconds = 0
    signed: SignedSeconds = 0
    number: Number = 0
    perhaps: Number | None = None
    zeroed: Seconds = key(zero=60)
    unlimited: Number | None = key(zero=None)
    named: Text = key(zero="fallback")
    flag: Flag = False
    unset_flag: Flag | None = None
    plain: bool = False
    plain_perhaps: bool | None = None
    integer: int = 0
    real: float = 0.0
    real_perhaps: float | None = None
    colour: Colour = Colour.RED
    literal: Literal["yes", "no"] | None = None
    inner: Inner | None = None
    always: Inner = field(default_factory=lambda: Inner(name="default"))
    inners: tuple[Inner, ...] = ()
    texts: list[Text] | None = None
    table: dict[str, Colour] | None = None
    mixed: Literal["here", "there"] | Inner | None = None
    shape: Shape | None = None
    circle: Circle | None = None
    shapes: tuple[Shape, ...] = ()
    class_: str = key(name="class", default="")
    timeout_s: Seconds = key(zero=5, alias="timeout")


@dataclass(frozen=True, kw_only=True)
class Strict(Spec):
    buffered = True

    integer: int = 0
    shape: Shape | None = None


@dataclass(frozen=True, kw_only=True)
class Lenient(Spec):
    ignores_unknown = True

    known: int = 0


@dataclass(frozen=True, kw_only=True)
class Required(Spec):
    first: Text
    second: Number | None
    third: Number = field(metadata={"key": Key(zero=9)})


@dataclass(frozen=True, kw_only=True)
class Range(Spec):
    low: int = 0
    high: int = 10

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        return ["'high' must be above low"] if values.high <= values.low else []


@dataclass(frozen=True, kw_only=True)
class Entry(Spec):
    ignores_unknown = True
    buffered = True

    name: str
    spec: Shape = key(beside=True)


@dataclass(frozen=True, kw_only=True)
class Cloud(Spec):
    chosen_by = "provider"

    prefix: str = ""


@dataclass(frozen=True, kw_only=True)
class Near(Cloud):
    provider: Literal["near"]
    street: str


@dataclass(frozen=True, kw_only=True)
class Far(Cloud):
    provider: Literal["far"]


class Nothing(Spec):
    """No keys, and what is there is ignored."""

    ignores_unknown = True


@dataclass(frozen=True, kw_only=True)
class Holder(Spec):
    entries: tuple[Entry, ...] = ()
    cloud: Cloud | None = None
    range: Range | None = None
    strict: Strict | None = None
    lenient: Lenient | None = None
    required: Required | None = None
    nothing: Nothing | None = None


def decode(cls: type[Spec], text: str) -> tuple[Any, list[Problem]]:
    document = parse(text, "f")
    decoder = Decoder(document, ENVIRONMENT)
    return decoder.spec(cls, document.root), decoder.problems


def value(name: str, text: str, cls: type[Spec] = Everything) -> Any:
    """What a field becomes; there must be no problem."""
    spec, problems = decode(cls, f"{{{name}: {text}}}")
    assert problems == []
    return getattr(spec, name)


def problem(text: str, cls: type[Spec] = Everything) -> Problem:
    """The one problem of a text."""
    _, problems = decode(cls, text)
    (only,) = problems
    return only


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("word", "'$A'", "$A"),
        ("text", "'$A${B:-d}'", "xd"),
        ("size", "5", 5),
        ("size", "'10gb'", 10**10),
        ("size", "'${SIZE}b'", 2000),
        ("size", "0x10", 16),
        ("size32", "4294967295", U32),
        ("seconds", "'1h'", 3600),
        ("seconds", "'$WAIT'", 60),
        ("seconds", "'100ms'", 0),
        ("signed", "-1", -1),
        ("signed", "'1m'", 60),
        ("number", "7", 7),
        ("number", "'+7'", 7),
        ("number", "'$NUMBER'", 7),
        ("number", "'18446744073709551615'", 2**64 - 1),
        ("perhaps", "null", None),
        ("perhaps", "'  '", None),
        ("perhaps", "3", 3),
        ("zeroed", "0", 60),
        ("zeroed", "'0'", 60),
        ("zeroed", "'100ms'", 60),
        ("zeroed", "1", 1),
        ("unlimited", "0", None),
        ("unlimited", "4", 4),
        ("named", "''", "fallback"),
        ("named", "'$EMPTY'", "fallback"),
        ("named", "'mine'", "mine"),
        ("flag", "true", True),
        ("flag", "'False'", False),
        ("flag", "' $YES '", True),
        ("unset_flag", "false", False),
        ("plain", "true", True),
        ("plain_perhaps", "null", None),
        ("integer", "3", 3),
        ("real", "3", 3.0),
        ("real", "-1.5", -1.5),
        ("real_perhaps", "null", None),
        ("colour", "'green'", Colour.GREEN),
        ("literal", "'no'", "no"),
        ("literal", "null", None),
        ("inner", "{name: 'n', count: 2}", Inner(name="n", count=2)),
        ("inner", "null", None),
        ("inners", "[{name: 'a'}, {name: 'b'}]", (Inner(name="a"), Inner(name="b"))),
        ("inners", "[]", ()),
        ("texts", "['$A', 'b']", ["x", "b"]),
        ("table", "{a: 'red', \"b-c\": 'green'}", {"a": Colour.RED, "b-c": Colour.GREEN}),
        ("table", "{a: 'red', a: 'green'}", {"a": Colour.GREEN}),
        ("mixed", "'there'", "there"),
        ("mixed", "{name: 'n'}", Inner(name="n")),
        ("mixed", "null", None),
        ("shape", "'point'", Point()),
        ("shape", "{point: {}}", Point()),
        ("shape", "{circle: {radius: 1}}", Circle(radius=1)),
        ("circle", "{circle: {radius: 1}}", Circle(radius=1)),
        ("shapes", "[{point: {}}, 'point']", (Point(), Point())),
    ],
)
def test_values_are_decoded_by_the_type_of_their_field(name: str, text: str, expected: object) -> None:
    assert value(name, text) == expected


def test_defaults_stand_where_the_file_says_nothing() -> None:
    spec, problems = decode(Everything, "{}")
    assert problems == []
    assert spec == Everything()
    assert (spec.zeroed, spec.unlimited, spec.named, spec.timeout_s) == (60, None, "fallback", 5)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("word", "5", "expected a text, found an integer"),
        ("word", "null", "null is not allowed"),
        ("text", "'$UNSET'", '"UNSET" is not set'),
        ("text", "true", "expected a text, found a boolean"),
        ("size", "-1", "a negative size is not allowed"),
        ("size", "1.0", "expected a size"),
        ("size", "1e3", "expected a size"),
        ("size", "true", "expected a size"),
        ("size", "null", "null is not allowed"),
        ("size", "''", "missing value in a size"),
        ("size", "'100000e'", "too large"),
        ("size32", "4294967296", "too large; the most is 4294967295"),
        ("size32", "'4Gi'", "too large"),
        ("seconds", "-1", "a negative duration"),
        ("seconds", "'-1'", "a negative duration"),
        ("seconds", "'10'", "time unit needed"),
        ("seconds", "''", "missing value in a duration"),
        ("seconds", "1.5", "expected a duration"),
        ("seconds", "null", "null is not allowed"),
        ("signed", "'-1'", "a negative duration"),
        ("signed", "-1.0", "expected a duration"),
        ("number", "'5k'", "not a number"),
        ("number", "'0x10'", "not a number"),
        ("number", "'1e3'", "not a number"),
        ("number", "''", "an empty text is not a number"),
        ("number", "'  '", "not a number"),
        ("number", "-1", "negative"),
        ("number", "'-1'", "negative"),
        ("number", "1.0", "expected an integer"),
        ("number", "'18446744073709551616'", "too large"),
        ("perhaps", "''", "an empty text is not a number"),
        ("perhaps", "'$EMPTY'", "not a number"),
        ("zeroed", "null", "null is not allowed"),
        ("unlimited", "null", "null is not allowed"),
        ("flag", "1", "expected true or false, found an integer"),
        ("flag", "'yes'", "expected true or false"),
        ("flag", "''", "expected true or false"),
        ("unset_flag", "null", "null is not allowed"),
        ("plain", "'true'", "expected true or false, found a text"),
        ("plain", "null", "null is not allowed"),
        ("integer", "'3'", "expected an integer, found a text"),
        ("real", "'1.5'", "expected a number, found a text"),
        ("real", "NaN", "finite"),
        ("real", "Infinity", "finite"),
        ("colour", "'Red'", 'expected "red" or "green"; found "Red"'),
        ("colour", "1", 'expected "red" or "green"; found an integer'),
        ("inner", "[]", "expected an object, found a list"),
        ("always", "null", "null is not allowed"),
        ("inners", "{name: 'a'}", "expected a list, found an object"),
        ("inners", "null", "null is not allowed"),
        ("table", "[]", "expected an object, found a list"),
        ("mixed", "'elsewhere'", 'expected "here" or "there"'),
        ("mixed", "5", 'expected "here" or "there"'),
        ("shape", "{}", "expected an object with one key, found none"),
        ("shape", "[]", "expected an object with one key, found a list"),
        ("shape", "{square: {}}", 'unknown kind "square"; known here: point, circle'),
        ("shape", "'circle'", '"circle" needs an object'),
        ("shape", "'square'", "expected an object with one key, found a text"),
        ("shape", "{circle: null}", "expected an object, found null"),
        ("circle", "{point: {}}", 'unknown kind "point"; known here: circle'),
    ],
)
def test_wrong_values_have_a_reason_and_their_place(name: str, text: str, reason: str) -> None:
    found = problem(f"{{\n  {name}: {text}}}")
    assert reason in found.reason
    assert found.fatal
    assert found.place.line == 2
    assert found.place.path.startswith(name)


def test_every_problem_is_found_at_once() -> None:
    text = "{\n size: -1,\n colour: 'gren',\n inners: [{}, {name: 1},\n {name: 'a', cuont: 1}],\n bogus: 1}"
    spec, problems = decode(Everything, text)
    assert [(found.place.path, found.place.line, found.nearest) for found in problems] == [
        ("size", 2, None),
        ("colour", 3, "green"),
        ("inners[0]", 4, None),
        ("inners[1].name", 4, None),
        ("inners[2].cuont", 5, "count"),
        ("bogus", 6, None),
    ]
    assert spec.inners == (Inner(name="a"),)


def test_an_unknown_key_is_placed_at_the_key_with_the_nearest_one() -> None:
    found = problem("{ clss: 'x' }")
    assert (found.place.column, found.nearest) == (3, "class")


def test_an_unknown_key_that_is_near_to_none_lists_the_known_ones() -> None:
    assert "known here: first, second, third" in decode(Required, "{zzz: 1}")[1][0].reason


def test_a_key_of_older_releases_says_what_to_write_today() -> None:
    assert "experimental_cloud_object_store" in problem("{experimental_s3_store: {}}").reason


def test_a_key_may_not_be_given_twice() -> None:
    found = problem("{word: 'a',\n word: 'b'}")
    assert found.reason == '"word" is given twice'
    assert found.place.line == 2


def test_an_alias_is_the_key_itself() -> None:
    assert decode(Everything, "{timeout: 7}")[0].timeout_s == 7
    assert "another name of it" in problem("{timeout_s: 7, timeout: 8}").reason


def test_a_field_may_have_another_name_than_its_key() -> None:
    assert decode(Everything, "{class: 'c'}")[0].class_ == "c"


def test_missing_keys_are_named_and_null_may_stand_for_a_required_one() -> None:
    _, problems = decode(Required, "{}")
    assert [found.reason for found in problems] == [f'"{name}" is missing' for name in ("first", "second", "third")]
    assert decode(Required, "{first: 'a', second: null, third: 0}") == (
        Required(first="a", second=None, third=9),
        [],
    )


def test_a_file_that_is_no_object_is_one_problem() -> None:
    assert problem("[1]").reason == "expected an object, found a list"


def test_integers_outside_buffered_objects_are_cast_with_a_warning() -> None:
    for text, expected in (("2.9", 2), ("-1", 0), ("-2.5", 0), ("1e3", 1000)):
        spec, problems = decode(Everything, f"{{integer: {text}}}")
        assert spec.integer == expected
        assert not any(found.fatal for found in problems)


@pytest.mark.parametrize("text", ["2.9", "-1", "'2'"])
def test_integers_inside_buffered_objects_are_strict(text: str) -> None:
    assert problem(f"{{strict: {{integer: {text}}}}}", Holder).fatal


def test_a_second_key_of_a_union_counts_only_inside_buffered_objects() -> None:
    both = "{point: {}, circle: {radius: 1}}"
    spec, problems = decode(Everything, f"{{shape: {both}}}")
    assert spec.shape == Point()
    assert [(found.fatal, found.place.path) for found in problems] == [(False, "shape.circle")]
    assert problem(f"{{strict: {{shape: {both}}}}}", Holder).fatal


def test_unknown_keys_are_warnings_where_they_are_ignored() -> None:
    spec, problems = decode(Holder, "{lenient: {known: 1, knwon: 2}}")
    assert spec.lenient == Lenient(known=1)
    assert [(found.fatal, found.nearest) for found in problems] == [(False, "known")]


def test_a_kind_without_keys_ignores_whatever_stands_inside() -> None:
    for text in ("{}", "[]"):
        assert decode(Holder, f"{{nothing: {text}}}")[1] == []
    assert not any(found.fatal for found in decode(Holder, "{nothing: {a: 1}}")[1])
    assert problem("{nothing: 5}", Holder).fatal


def test_an_entry_has_its_kind_beside_its_name() -> None:
    spec, problems = decode(Holder, "{entries: [{name: '$A', circle: {radius: 2}}, {point: {}, name: 'b'}]}")
    assert problems == []
    assert [(entry.name, entry.spec) for entry in spec.entries] == [("$A", Circle(radius=2)), ("b", Point())]


@pytest.mark.parametrize("second", ["circle: {radius: 1}", "point: {}", "bogus: 1"])
def test_the_first_kind_of_an_entry_counts_and_what_follows_is_a_warning(second: str) -> None:
    spec, problems = decode(Holder, f"{{entries: [{{name: 'a', point: {{}}, {second}}}]}}")
    assert spec.entries[0].spec == Point()
    assert [found.fatal for found in problems] == [False]


def test_an_entry_with_an_unknown_kind_only_suggests_the_nearest() -> None:
    found = problem("{entries: [{name: 'a', circel: {}}]}", Holder)
    assert (found.fatal, found.nearest) == (True, "circle")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("{name: 'a'}", "a kind is missing: one of point, circle"),
        ("{point: {}}", '"name" is missing'),
        ("{name: 'a', name: 'b', point: {}}", '"name" is given twice'),
        ("{name: 'a', point: null}", "expected an object, found null"),
        ("{name: 'a', point: 'x'}", "expected an object, found a text"),
        ("{name: null, point: {}}", "null is not allowed"),
    ],
)
def test_an_entry_that_is_not_whole_is_an_error(entry: str, reason: str) -> None:
    assert reason in problem(f"{{entries: [{entry}]}}", Holder).reason


def test_a_map_in_place_of_entries_says_how_it_is_written_today() -> None:
    assert '[{name: "MAIN", ...}]' in problem("{entries: {MAIN: {point: {}}}}", Holder).reason


def test_a_word_chooses_among_variants_wherever_it_stands() -> None:
    spec, problems = decode(Holder, "{cloud: {street: 's', provider: 'near', prefix: 'p'}}")
    assert problems == []
    assert spec.cloud == Near(provider="near", street="s", prefix="p")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{}", '"provider" is missing: one of near, far'),
        ("{provider: 'naer'}", 'expected "near" or "far"'),
        ("{provider: 1}", 'expected "near" or "far"'),
        ("{provider: 'far', street: 's'}", 'unknown key "street"'),
        ("{provider: 'near'}", '"street" is missing'),
    ],
)
def test_variants_have_keys_of_their_own(body: str, reason: str) -> None:
    assert reason in problem(f"{{cloud: {body}}}", Holder).reason


def test_what_is_wrong_with_values_together_stands_at_the_key_it_names() -> None:
    found = problem("{range: {low: 5,\n high: 4}}", Holder)
    assert (found.place.path, found.place.line) == ("range.high", 2)
    assert problem("{range: {low: 11}}", Holder).place.path == "range"


def test_places_of_decoded_fields_can_be_asked_for() -> None:
    document = parse("{\n inner: {name: 'a'},\n always: {name: 'a'}}", "f")
    decoder = Decoder(document, {})
    spec = decoder.spec(Everything, document.root)
    assert spec is not None
    assert spec.inner is not None
    assert decoder.origins.place(spec.inner, "name").line == 2
    assert decoder.origins.place(spec.always, "name").line == 3
    assert decoder.origins.place(spec.always, "count").path == "always"
    assert decoder.origins.says(spec, "inner")
    assert not decoder.origins.says(spec, "word")


def test_a_kind_that_is_not_available_says_what_to_use() -> None:
    from nlserver.errors import Code, Error
    from nlserver.spec import Site

    class Later(Unavailable):
        called = "later"
        instead = "Use now."

    with pytest.raises(Error) as caught:
        Later().build(Site())
    assert (caught.value.code, str(caught.value), caught.value.remedy) == (
        Code.UNIMPLEMENTED,
        "later is not available yet",
        "Use now.",
    )

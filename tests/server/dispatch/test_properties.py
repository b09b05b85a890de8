"""Property values from outside become numbers and texts, or an Error that names them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlserver.dispatch.matching import differences, fits, room, shortages
from nlserver.dispatch.properties import Needs, PropertyKind, amount, needs_of, offer_of
from nlserver.errors import Code, Error

KINDS = {
    "os": PropertyKind.EXACT,
    "cpu": PropertyKind.MINIMUM,
    "image": PropertyKind.PRIORITY,
    "note": PropertyKind.IGNORE,
}
NAMES = st.sampled_from([*KINDS, "silo"])
PROPERTIES = st.lists(st.tuples(NAMES, st.sampled_from(["0", "1", "2", "18446744073709551615"])), max_size=8).map(tuple)


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", " 1", "1.0", "0x1", "1_000", "٣", "18446744073709551616", "9" * 5000]
)
def test_what_is_no_u64_is_no_amount(value: str) -> None:
    with pytest.raises(Error) as caught:
        amount("cpu", value)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert "cpu" in caught.value.message
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(("value", "number"), [("0", 0), ("007", 7), ("18446744073709551615", 2**64 - 1)])
def test_a_u64_is_an_amount(value: str, number: int) -> None:
    assert amount("cpu", value) == number


def test_needs_are_equal_whatever_the_order_of_the_properties() -> None:
    one = needs_of((("os", "linux"), ("silo", "a"), ("cpu", "2")), KINDS)
    other = needs_of((("cpu", "2"), ("os", "linux"), ("silo", "a")), KINDS)
    assert one == other == Needs(exact=(("os", "linux"),), minimum=(("cpu", 2),), unlisted=(("silo", "a"),))


def test_every_value_of_a_property_is_asked_for_and_offered() -> None:
    has = offer_of((("os", "linux"), ("os", "posix"), ("cpu", "2"), ("cpu", "8"), ("silo", "a"), ("silo", "b")), KINDS)
    assert fits(needs_of((("os", "posix"), ("os", "linux"), ("cpu", "8"), ("silo", "a")), KINDS), has)
    needs = needs_of((("os", "linux"), ("os", "plan9"), ("cpu", "1"), ("cpu", "9"), ("silo", "c")), KINDS)
    assert list(differences(needs, has)) == [
        "offers os=linux posix, asked plan9",
        "offers cpu=2 8, asked 9",
        "offers silo=a b, asked c",
    ]


@given(PROPERTIES, PROPERTIES)
def test_a_worker_fits_exactly_when_nothing_differs(asked, offered) -> None:
    needs, has = needs_of(asked, KINDS), offer_of(offered, KINDS)
    assert fits(needs, has) == (not list(differences(needs, has)))
    if fits(needs, has):
        assert room(needs, has.amounts)
        half = {name: offered // 2 for name, offered in has.amounts.items()}
        assert room(needs, half) == (not list(shortages(needs, has, half)))


@given(PROPERTIES)
def test_no_properties_fit_everywhere_and_own_properties_fit_oneself(offered) -> None:
    has = offer_of(offered, KINDS)
    assert fits(needs_of((), KINDS), has)
    assert fits(needs_of(offered, KINDS), has)

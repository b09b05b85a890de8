"""Numbers as characters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlctl.watch.marks import bar, curve, spark


def test_the_greatest_value_is_the_highest_bar_and_what_is_unknown_a_blank() -> None:
    assert spark([None, 0, 1, 2, 4], 6) == "  ▁▃▅█"
    assert spark([1, 1, 1], 2, most=1.0) == "██"
    assert spark([0, 0], 2) == "▁▁"
    assert spark([0, 4], 2, ascii_only=True) == "_#"


def test_a_bar_is_as_long_as_its_share() -> None:
    assert bar(0.5, 4) == "██  "
    assert bar(0.3125, 2) == "▋ "
    assert bar(7, 3) == "███"
    assert bar(0.5, 4, ascii_only=True) == "##.."


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)), max_size=50).map(sorted),
    st.integers(1, 60),
    st.integers(1, 10),
    st.booleans(),
)
def test_a_curve_has_the_size_that_was_asked(
    points: list[tuple[float, float]], width: int, height: int, ascii_only: bool
) -> None:
    drawn = curve(points, width, height, least=0, most=1e9, ascii_only=ascii_only)
    assert [len(line) for line in drawn] == [width] * height


@pytest.mark.parametrize(("ascii_only", "drawn"), [(True, [" *", "* "]), (False, ["⠀⡜", "⡜⠀"])])
def test_a_curve_rises_with_its_values(ascii_only: bool, drawn: list[str]) -> None:
    assert curve([(0, 0), (1, 1)], 2, 2, least=0, most=1, ascii_only=ascii_only) == drawn

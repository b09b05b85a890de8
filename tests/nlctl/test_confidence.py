"""A sample speaks for the rest with a known certainty."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlctl.confidence import at_most


@pytest.mark.parametrize(
    ("bad", "checked", "share"),
    [(0, 142, 0.0209), (0, 1, 0.95), (0, 3000, 0.000998), (1, 100, 0.0466), (5, 100, 0.1023)],
)
def test_the_limits_are_those_of_clopper_and_pearson(bad: int, checked: int, share: float) -> None:
    assert at_most(bad, checked) == pytest.approx(share, rel=0.01)


@given(st.integers(1, 60), st.data())
@settings(deadline=None)
def test_at_the_limit_so_few_bad_ones_are_seen_once_in_twenty(checked: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, checked - 1))
    share = at_most(bad, checked)
    seen = sum(comb(checked, n) * share**n * (1 - share) ** (checked - n) for n in range(bad + 1))
    assert seen == pytest.approx(0.05, rel=0.01)


def test_who_checked_everything_knows() -> None:
    assert at_most(0, 10, 10) == 0.0
    assert at_most(1, 10, 10) == 0.1
    assert at_most(3, 3) == 1.0
    assert at_most(0, 0) == 1.0

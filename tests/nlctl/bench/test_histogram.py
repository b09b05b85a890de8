"""Times in buckets."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlctl.bench.histogram import Histogram

TIMES = st.lists(st.integers(0, 10**12), min_size=1, max_size=300)


@given(TIMES, st.floats(0, 1))
@settings(max_examples=200)
def test_a_quantile_is_the_value_of_its_rank_to_within_a_hundredth(times: list[int], share: float) -> None:
    found = Histogram(times).quantile(share)
    if found is not None:
        rank = max(0, -(-round(share * len(times) * 10**9) // 10**9) - 1)
        near = sorted(times)[max(0, rank - 1) : rank + 2]
        assert min(near) * 0.99 - 1 <= found <= max(near) * 1.01 + 1


@given(TIMES, TIMES)
def test_counts_of_two_processes_add_up_to_the_counts_of_one(left: list[int], right: list[int]) -> None:
    both = Histogram(left) + Histogram(right)
    one = Histogram(left + right)
    assert len(both) == len(one)
    assert both.quantile(0.5) == one.quantile(0.5)
    assert both.largest() == one.largest()


@pytest.mark.parametrize(("share", "least"), [(0.5, 2), (0.95, 20), (0.99, 100)])
def test_a_quantile_is_unknown_until_enough_was_seen_to_tell(share: float, least: int) -> None:
    assert Histogram(range(least - 1)).quantile(share) is None
    assert Histogram(range(least)).quantile(share) is not None


def test_an_empty_histogram_knows_nothing() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram().largest() is None


def test_a_slow_few_show_in_the_high_quantiles_alone() -> None:
    times = [1_000_000] * 980 + [50_000_000] * 20
    random.Random(1).shuffle(times)
    seen = Histogram(times)
    assert seen.quantile(0.5) == pytest.approx(1_000_000, rel=0.01)
    assert seen.quantile(0.95) == pytest.approx(1_000_000, rel=0.01)
    assert seen.quantile(0.99) == pytest.approx(50_000_000, rel=0.01)

"""The sizes and calls of real builds."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from nlctl.bench.mix import COUNTS, SHARES, Step, size_at, sizes, steps


def test_every_power_of_ten_has_the_share_that_was_counted() -> None:
    drawn = sizes(sum(COUNTS))
    edges = [10**power for power in range(len(COUNTS) + 1)]
    found = [sum(low <= size < high for size in drawn) for low, high in itertools.pairwise(edges)]
    assert found == pytest.approx(COUNTS, abs=3)


def test_half_of_all_blobs_are_small_and_the_largest_is_below_100_megabytes() -> None:
    assert 100 < size_at(0.5) < 1000
    assert 10**7 < size_at(0.9999) < 10**8
    assert size_at(0) == 1


def test_two_runs_have_the_same_sizes() -> None:
    assert sizes(500) == sizes(500)


def test_calls_come_in_their_exact_shares_and_in_random_order() -> None:
    drawn = steps(1000, seed=1)
    assert Counter(drawn) == {step: share * 10 for step, share in SHARES.items()}
    assert drawn != steps(1000, seed=2)
    assert len(set(drawn[:50])) == len(Step)

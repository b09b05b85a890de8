"""Comparing rounds."""

from __future__ import annotations

import math
import random

import pytest

from nlctl.bench.figures import change, ratios


def test_a_loss_that_every_round_shows_exceeds_a_smaller_limit() -> None:
    loss = change([85, 84, 86], [100, 101, 99]).worse(more_is_better=True)
    assert loss.by == pytest.approx(0.15, abs=0.001)
    assert loss.low < 0.15 < loss.high
    assert loss.exceeds(0.10)
    assert not loss.exceeds(0.20)


def test_a_loss_within_the_noise_of_the_rounds_exceeds_no_limit() -> None:
    loss = change([60, 140, 55], [100, 150, 60]).worse(more_is_better=True)
    assert loss.by > 0.1
    assert not loss.exceeds(0.1)


def test_more_seconds_are_a_loss_and_more_calls_are_a_gain() -> None:
    assert change([2.0, 2.1], [1.0, 1.1]).worse(more_is_better=False).by > 0.8
    assert change([2.0, 2.1], [1.0, 1.1]).worse(more_is_better=True).by < -0.8


def test_one_round_tells_nothing_about_chance() -> None:
    made = change([50], [100])
    assert made.by == pytest.approx(-0.5)
    assert (made.low, made.high) == (-1.0, math.inf)
    assert not made.worse(more_is_better=True).exceeds(0.1)


def test_rounds_without_any_spread_differ_by_exactly_their_ratio() -> None:
    made = change([2, 2], [1, 1])
    assert (made.by, made.low, made.high) == pytest.approx((1, 1, 1))


def test_the_interval_holds_the_truth_in_19_of_20_comparisons() -> None:
    chance = random.Random(5)
    held = 0
    for _ in range(2000):
        now = [math.exp(chance.gauss(0.1, 0.05)) for _ in range(3)]
        was = [math.exp(chance.gauss(0.0, 0.05)) for _ in range(3)]
        made = change(now, was)
        held += made.low <= math.expm1(0.1) <= made.high
    assert 0.94 < held / 2000 < 0.985


def test_rounds_are_compared_with_those_that_ran_beside_them() -> None:
    assert ratios([50, 20], [100, 40]) == [0.5, 0.5]

"""Instants of the open loop."""

from __future__ import annotations

import itertools

import pytest

from nlctl.bench.schedule import arrivals


def test_calls_are_due_in_order_within_the_time_and_at_the_rate_asked_for() -> None:
    due = list(arrivals(1000, 20, seed=1))
    assert due == sorted(due)
    assert due[0] > 0
    assert due[-1] < 20
    assert len(due) == pytest.approx(20_000, rel=0.03)


def test_gaps_vary_as_those_of_independent_clients_do() -> None:
    due = list(arrivals(1000, 20, seed=2))
    gaps = [later - sooner for sooner, later in itertools.pairwise(due)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.05)


def test_the_instants_depend_on_the_seed_alone() -> None:
    assert list(arrivals(50, 2, seed=3)) == list(arrivals(50, 2, seed=3))
    assert list(arrivals(50, 2, seed=3)) != list(arrivals(50, 2, seed=4))

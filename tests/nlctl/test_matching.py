"""An action that no worker can run is recognised before it is submitted, and only such an action."""

from __future__ import annotations

import pytest

from nlctl.admin import WorkerFacts
from nlctl.matching import mismatches


def _worker(name: str, **properties: str) -> WorkerFacts:
    offered = {"cpu_count": ["2"], "OSFamily": ["linux"], "ISA": ["x86-64"], "nlctl-worker": [name]}
    offered |= {key: [value] for key, value in properties.items()}
    return WorkerFacts(name, f"{name}-1", "S", "ready", offered, {}, [], 0, 0, 0.0, 0.0)


TWO = [_worker("worker-1"), _worker("worker-2", cpu_count="8")]


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"ISA": "x86-64"},
        {"cpu_count": "8"},
        {"cpu_count": "2", "nlctl-worker": "worker-1"},
        {"OSFamily": "anything", "container-image": "docker://x"},
    ],
)
def test_what_a_worker_can_run_passes(wanted: dict[str, str]) -> None:
    assert mismatches(wanted, TWO) == []


def test_a_value_that_nobody_offers_is_named_with_those_on_offer() -> None:
    [found] = mismatches({"ISA": "arm64", "cpu_count": "1"}, TWO)
    assert str(found) == 'ISA: wanted "arm64", workers offer "x86-64" (2)'


def test_a_property_that_nobody_offers_says_so() -> None:
    [found] = mismatches({"gpu": "1"}, TWO)
    assert str(found) == 'gpu: wanted "1", no worker offers this property'


def test_a_minimum_above_every_worker_is_refused() -> None:
    [found] = mismatches({"cpu_count": "16"}, TWO)
    assert found.offered == {"2": 1, "8": 1}


def test_properties_that_no_single_worker_combines_are_all_named() -> None:
    assert [one.name for one in mismatches({"cpu_count": "8", "nlctl-worker": "worker-1"}, TWO)] == [
        "cpu_count",
        "nlctl-worker",
    ]


def test_without_workers_nothing_can_run() -> None:
    assert mismatches({"ISA": "x86-64"}, []) != []

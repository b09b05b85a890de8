"""What needs attention is said once, with the command that tells more."""

from __future__ import annotations

import dataclasses

from nlserver.reapi.digest import Digest

from nlctl.admin import HealthFacts, OperationFacts, Overview, WorkerFacts
from nlctl.launch.backend import Report
from nlctl.verdict import attention

NOW = 1_000_000.0
WORKER = WorkerFacts("worker-1", "worker-1-x", "S", "ready", {}, {}, [], 0, 0, NOW - 60, NOW - 1)
GOOD = Overview("0.1.0", [HealthFacts("CAS", True, "")], [WORKER], [], 0)
PARTS = [Report("cas", "ready"), Report("scheduler", "ready"), Report("worker-1", "ready")]


def _what(seen: Overview | None, parts: list[Report] = PARTS, trouble: str = "") -> list[str]:
    return [one.what for one in attention(parts, ["worker-1"], seen, trouble, NOW)]


def test_a_healthy_cluster_needs_nothing() -> None:
    assert _what(GOOD) == []


def test_a_part_that_failed_says_how_and_when_it_starts_again() -> None:
    parts = [*PARTS[:2], Report("worker-1", "backoff", last_exit="signal 9", retry_in_ms=4000)]
    assert _what(GOOD, parts) == ["worker-1 is backoff after signal 9, next start in 4s"]


def test_a_scheduler_that_does_not_answer_is_the_finding() -> None:
    assert _what(None, trouble="no connection") == ["the scheduler does not answer: no connection"]


def test_absent_draining_and_silent_workers_are_named() -> None:
    assert _what(dataclasses.replace(GOOD, workers=[])) == ["not registered with the scheduler: worker-1"]
    odd = dataclasses.replace(WORKER, state="draining", last_seen=NOW - 20)
    assert _what(dataclasses.replace(GOOD, workers=[odd])) == ["worker-1 is draining", "worker-1 is silent for 20s"]


def test_a_bad_store_and_a_stuck_queue_are_findings() -> None:
    action = Digest("ab" * 32, 3)
    stuck = OperationFacts("op", "queued", NOW, NOW, "", "ISA differs", True, action, "", 0, 0, 1, {})
    seen = dataclasses.replace(GOOD, health=[HealthFacts("CAS", False, "disk gone")], queued=[stuck], queue_length=1)
    assert _what(seen) == ["CAS: disk gone", "1 actions match no worker (ISA differs)"]

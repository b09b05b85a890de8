"""What is told of an action leads to exactly one verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from nlserver.reapi.digest import Digest

from nlctl.admin import Ending, Explanation, OperationFacts, WorkerVerdict
from nlctl.doctor.deed import BAD, STAGES, Cause, Ended, Facts, diagnose

ACTION = Digest("ab" * 32, 142)
INPUT = Digest("cd" * 32, 9)
NOW = 1_700_000_000.0
TYPICAL = {"queued_ms": 10.0, "inputs_ms": 20.0, "ran_ms": 400.0, "outputs_ms": 30.0}
QUICK = dict.fromkeys(STAGES, 10.0)
WAITING = OperationFacts(
    "6b1f0f6e-0000-4000-8000-000000000000", "queued", NOW - 60, NOW - 60, "", "", False, ACTION, "", 0, 0, 1, {}
)
RUNNING = replace(WAITING, stage="executing", worker="w1" + "1f0f6e00-0000-4000-8000-000000000000")
DONE = replace(RUNNING, stage="completed", ending=Ending(0))
WELL = Ended(0, "w1", QUICK)


def says(*verdicts: str, unsatisfiable: bool = False) -> Explanation:
    """What the scheduler says of workers w0, w1 and so on."""
    return Explanation("words", unsatisfiable, [WorkerVerdict(f"w{n}", one, "why") for n, one in enumerate(verdicts)])


def failed(words: str, attempts: int = 0) -> OperationFacts:
    return replace(DONE, ending=Ending(0, words), attempts=attempts)


CASES: list[tuple[Cause, dict[str, Any]]] = [
    (
        Cause.NEVER,
        {"operation": replace(WAITING, unsatisfiable=True), "explanation": says("never", unsatisfiable=True)},
    ),
    (Cause.NEVER, {"explanation": says("never", unsatisfiable=True)}),
    (Cause.BUSY, {"operation": WAITING, "explanation": says("busy", "never")}),
    (Cause.BUSY, {"operation": WAITING}),
    (Cause.NOW, {"operation": replace(WAITING, queued=NOW - 1), "explanation": says("now")}),
    (Cause.NOW, {"explanation": says("now")}),
    (Cause.NOW, {}),
    (Cause.WEDGED, {"operation": WAITING, "explanation": says("busy", "now")}),
    (Cause.RUNNING, {"operation": RUNNING}),
    (Cause.MISSING_INPUTS, {"missing": [INPUT]}),
    (
        Cause.MISSING_INPUTS,
        {"operation": failed("FAILED_PRECONDITION: Object x not found in either fast or slow store")},
    ),
    (
        Cause.TIMED_OUT,
        {"operation": failed("DEADLINE_EXCEEDED: command timed out after 60 s"), "timeout_seconds": 60.0},
    ),
    (Cause.REFUSED, {"operation": failed("INVALID_ARGUMENT: timeout of 3600 s is greater than the maximum")}),
    (Cause.LOST_WORKERS, {"operation": failed("INTERNAL: attempted to execute too many times", 3)}),
    (Cause.FAILED, {"operation": failed("INTERNAL: something else")}),
    (Cause.COMMAND_FAILED, {"ended": Ended(7, "w1", QUICK, "a\nlast words")}),
    (Cause.COMMAND_FAILED, {"operation": replace(DONE, ending=Ending(7))}),
    (Cause.SLOW, {"ended": Ended(0, "w1", {**QUICK, "ran_ms": 5000.0}), "typical": TYPICAL}),
    (Cause.OK, {"ended": WELL, "typical": TYPICAL}),
    (Cause.OK, {"ended": Ended(0, "w1", {**QUICK, "ran_ms": 5000.0})}),
    (Cause.OK, {"ended": Ended(0, "w1", {**QUICK, "queued_ms": 900.0}), "typical": TYPICAL}),
    (Cause.OK, {"operation": DONE, "ended": WELL}),
]


@pytest.mark.parametrize(("cause", "facts"), CASES, ids=[f"{cause}-{n}" for n, (cause, _) in enumerate(CASES)])
def test_facts_lead_to_their_verdict(cause: Cause, facts: dict[str, Any]) -> None:
    found = diagnose(Facts(ACTION, now=NOW, **facts))
    assert found.cause is cause
    assert found.what
    assert found.fixes or cause in (Cause.OK, Cause.NOW)


def test_every_verdict_has_a_case() -> None:
    assert {cause for cause, _ in CASES} == set(Cause)
    assert Cause.COMMAND_FAILED in BAD
    assert Cause.BUSY not in BAD


def test_the_slowest_stage_is_named_beside_what_is_usual() -> None:
    stages = {**QUICK, "inputs_ms": 4000.0, "ran_ms": 3000.0}
    found = diagnose(Facts(ACTION, ended=Ended(0, "w1", stages), typical=TYPICAL))
    assert found.what == "fetching inputs took 4s on w1; 20ms is usual here"


def test_the_last_words_of_a_command_are_told() -> None:
    found = diagnose(Facts(ACTION, operation=replace(DONE, attempts=2), ended=Ended(7, "w1", QUICK, "a\nb\nc\nd\n")))
    assert found.what == "its command ended with 7 on w1 after 2 attempts that came to nothing"
    assert found.because == "it says: b / c / d"

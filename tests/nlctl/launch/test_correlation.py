"""Lines of one piece of work are found across the parts, by what the scheduler says of it."""

from __future__ import annotations

from nlctl.launch.correlation import Work
from nlctl.launch.reading import Entry

HASH = "ab" * 32
GIVEN = f"Action given to a worker operation=op-1 action={HASH}-142 worker_id=w invocation=inv-1"
AGAIN = f"Action given to a worker operation=op-1 action={HASH}-142 worker_id=w attempt=run-2 invocation=inv-1"
OTHER = f"Action given to a worker operation=op-3 action={'cd' * 32}-142 worker_id=w invocation=inv-1"
LINES = [
    ("scheduler", GIVEN),
    ("worker-1", f"Executing action operation=op-1 digest={HASH}-142 command=x"),
    ("scheduler", AGAIN),
    ("worker-2", f"Executing action operation=run-2 digest={HASH}-142 command=x"),
    ("worker-2", "Sending kill to running operation operation=run-2"),
    ("scheduler", OTHER),
    ("worker-1", '{"time": "t", "event": "Executing action", "operation": "op-3"}'),
    ("cas", f"An action result is hidden because it is not complete action={HASH}-142 reason=x"),
]
ENTRIES = [Entry(part, "", (line,)) for part, line in LINES]


def _found(work: Work) -> list[int]:
    return [ENTRIES.index(entry) for entry in work.chosen(ENTRIES)]


def test_an_operation_is_followed_through_its_attempts() -> None:
    assert _found(Work(operation="op-1")) == [0, 1, 2, 3, 4]
    assert _found(Work(operation="op-3")) == [5, 6]


def test_an_action_is_followed_into_every_part_that_names_it() -> None:
    assert _found(Work(action=HASH)) == [0, 1, 2, 3, 4, 7]
    assert _found(Work(action=HASH[:8])) == [0, 1, 2, 3, 4, 7]


def test_an_invocation_is_all_of_its_operations() -> None:
    assert _found(Work(invocation="inv-1")) == [0, 1, 2, 3, 4, 5, 6]


def test_nothing_is_nobodys() -> None:
    assert _found(Work(operation="nobody")) == []

"""What Bazel says is judged: a build that fails must say why, and only one that met a fault may fail."""

from __future__ import annotations

import itertools

import pytest

from tests.faults.builds import judged, plans

UNAVAILABLE = "ERROR: src/BUILD:7:11: Compiling l.c failed: (Exit 34): UNAVAILABLE: io exception"
EVICTED = "ERROR: Failed to fetch x: --experimental_remote_outputs=minimal fails if a cache evicts files during builds."
COMPILER = "ERROR: src/BUILD:7:11: Compiling l.c failed: (Exit 1): gcc failed: error executing command /usr/bin/gcc"


def test_one_seed_makes_one_course_of_builds() -> None:
    some = list(itertools.islice(plans(7), 60))
    assert some == list(itertools.islice(plans(7), 60))
    assert some != list(itertools.islice(plans(8), 60))
    assert some[0].runs_everything
    assert {plan.sources is None for plan in some} == {True, False}
    assert {plan.brings_outputs for plan in some} == {True, False}


def test_a_build_that_met_a_fault_may_fail_with_a_reason() -> None:
    assert judged(1, UNAVAILABLE, struck=True, spoiled=False) == ("UNAVAILABLE", "")
    assert judged(1, UNAVAILABLE, struck=False, spoiled=False)[1]


def test_the_words_of_the_server_may_stand_on_the_next_line() -> None:
    text = "ERROR: Compiling l.c failed: (Exit 34): Remote Execution Failure:\nInternal: the disk of the worker is full"
    assert judged(1, text, struck=True, spoiled=True) == ("INTERNAL", "")
    assert judged(1, text.partition("\n")[0], struck=True, spoiled=True)[1]


def test_a_build_without_all_outputs_may_find_one_evicted_at_any_time() -> None:
    assert judged(1, EVICTED, struck=False, spoiled=False) == ("evicted", "")


def test_an_action_may_fail_by_itself_only_where_it_cannot_write() -> None:
    assert judged(1, COMPILER, struck=True, spoiled=True) == ("spoiled", "")
    assert judged(1, COMPILER, struck=True, spoiled=False)[1]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (37, UNAVAILABLE),
        (1, "INFO: nothing more"),
        (34, f"{UNAVAILABLE}\nERROR: Traceback (most recent call last)"),
        (1, "ERROR: Compiling failed: (Exit 34): NOT_FOUND: no operation 'x' is known here"),
    ],
    ids=["a crash of Bazel", "no word", "a traceback", "an operation that nobody knows"],
)
def test_what_no_client_should_read_is_wrong_whatever_was_done(code: int, text: str) -> None:
    assert judged(code, text, struck=True, spoiled=False)[1]

"""A command line means the same wherever its global flags stand."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlctl.arguments import Invocation, cut, seconds
from nlctl.doctor.check import AREAS
from nlctl.exits import Exit
from nlctl.faults import Fault


def _cut(line: str, **environment: str) -> Invocation:
    return cut(line.split(), environment)


@pytest.mark.parametrize(
    "line",
    [
        "-o json -C two cas stat abc",
        "cas -o json stat -C two abc",
        "cas stat abc --output=json --context two",
        "cas stat -ojson abc -C two",
        "cas --json stat abc -C two",
    ],
)
def test_global_flags_stand_anywhere(line: str) -> None:
    made = _cut(line)
    assert (made.path, made.words, made.texts) == (("cas", "stat"), ["abc"], {"output": "json", "context": "two"})


def test_nothing_is_taken_after_two_dashes() -> None:
    made = _cut("run --env A=b -- cc -o json --help -q")
    assert made.words == ["--env", "A=b", "--", "cc", "-o", "json", "--help", "-q"]
    assert not made.texts
    assert not made.counts


def test_a_command_to_run_begins_with_the_first_plain_word() -> None:
    assert _cut("run --input d cc -o json").words == ["--input", "d", "--", "cc", "-o", "json"]


def test_a_value_of_a_commands_own_option_is_no_global_flag() -> None:
    made = _cut("logs --tail -v")
    assert made.words == ["--tail", "-v"]
    assert not made.counts


def test_output_means_a_path_after_run_and_a_format_before_it() -> None:
    made = _cut("--output json run --output a.o -- cc")
    assert made.texts == {"output": "json"}
    assert made.words == ["--output", "a.o", "--", "cc"]


@pytest.mark.parametrize(
    ("line", "counts"), [("ps -qq", {"quiet": 2}), ("ps -q -q", {"quiet": 2}), ("ps -vy", {"verbose": 1, "yes": 1})]
)
def test_counting_flags_add_up(line: str, counts: dict[str, int]) -> None:
    assert _cut(line).counts == counts


def test_a_flag_beats_the_environment() -> None:
    assert _cut("ps -o tsv", NLCTL_OUTPUT="json").texts["output"] == "tsv"
    assert _cut("ps", NLCTL_OUTPUT="json", NLCTL_QUIET="2").texts["output"] == "json"
    assert _cut("ps", NLCTL_QUIET="2").counts["quiet"] == 2


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [("upp", "up"), ("cas gte x", "get"), ("worker ls", "workers"), ("satus", "status"), ("lgos", "logs")],
)
def test_a_mistyped_command_suggests_the_right_one(line: str, suggestion: str) -> None:
    with pytest.raises(Fault) as caught:
        _cut(line)
    assert caught.value.exit is Exit.USAGE
    assert caught.value.fixes[0].command[-1] == suggestion


@pytest.mark.parametrize("line", ["--contxt x ps", "ps -o", "ps -o yaml", "-z"])
def test_a_bad_global_flag_is_a_usage_fault_with_a_remedy(line: str) -> None:
    with pytest.raises(Fault) as caught:
        _cut(line)
    assert caught.value.exit is Exit.USAGE
    assert caught.value.fixes


@given(st.lists(st.text(max_size=12) | st.sampled_from(["-o", "json", "cas", "get", "run", "--", "-q", "--name"])))
def test_any_words_make_an_invocation_or_a_usage_fault(words: list[str]) -> None:
    with suppress(Fault):
        assert isinstance(cut(words, {}), Invocation)


@pytest.mark.parametrize(
    ("text", "value"),
    [("30", 30), ("500ms", 0.5), ("10s", 10), ("5m", 300), ("1.5h", 5400), (" 2d ", 172800), ("0", 0)],
)
def test_durations_have_units(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "s", "-1", "nan", "inf", "1y", "1 s s", "1e99"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(Fault, match="no duration"):
        seconds(text)


def test_an_area_of_the_doctor_is_no_misspelt_command_of_it() -> None:
    for area in AREAS:
        assert _cut(f"doctor {area}").path in (("doctor",), ("doctor", area))
    with pytest.raises(Fault, match="no command 'nlctl doctor objekt'"):
        _cut("doctor objekt")

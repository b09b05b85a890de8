"""What configs say of workers: sources of variables, property queries, templates, strategies."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from nlserver.clock import Clock
from nlserver.errors import Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import Function
from nlserver.worker.environment import EnvironmentSpec, Facts, for_action, for_precondition, for_queries
from nlserver.worker.order import MOST_RESULT_BYTES, blank, fit
from nlserver.worker.properties import PropertySpec, offered
from nlserver.worker.results import UploadSpec, rendered, template_problems
from nlserver.worker.stamps import Stamps

SOURCES = {
    "A": "from_environment",
    "B": "timeout_millis",
    "C": EnvironmentSpec(property="p"),
    "D": EnvironmentSpec(value="v"),
}


def test_queries_see_what_makes_sense_without_an_action() -> None:
    assert for_queries(SOURCES, {"A": "a"}) == {"A": "a", "D": "v"}  # type: ignore[arg-type]


def test_preconditions_see_properties_too() -> None:
    assert for_precondition(SOURCES, {}, {"p": "x"}) == {"A": "", "C": "x", "D": "v"}  # type: ignore[arg-type]


def test_actions_see_everything() -> None:
    facts = Facts({"p": "x"}, 2.5, "/side", "/dir")
    assert for_action(SOURCES, {}, facts) == {"A": "", "B": "2500", "C": "x", "D": "v"}  # type: ignore[arg-type]


@pytest.mark.parametrize("keys", [{}, {"property": "a", "value": "b"}])
def test_a_source_has_exactly_one_key(keys: dict[str, str]) -> None:
    assert EnvironmentSpec.problems(EnvironmentSpec(**keys))


@pytest.mark.parametrize(
    ("spec", "fine"),
    [
        (PropertySpec(values=("a",)), True),
        (PropertySpec(query_cmd="nproc --all"), True),
        (PropertySpec(query_cmd="'open"), False),
        (PropertySpec(query_cmd=""), False),
        (PropertySpec(), False),
        (PropertySpec(values=(), query_cmd="x"), False),
    ],
)
def test_a_property_is_values_or_a_command_that_can_be_split(spec: PropertySpec, fine: bool) -> None:
    assert (PropertySpec.problems(spec) == []) is fine


async def test_every_line_of_a_query_is_a_value() -> None:
    async def ask(arguments: Sequence[str]) -> str:
        assert arguments == ["tool", "a b"]
        return " one \n\ntwo\n"

    assert await offered({"x": PropertySpec(query_cmd="tool 'a b'")}, ask) == [("x", "one"), ("x", ""), ("x", "two")]


async def test_a_query_that_fails_names_its_property() -> None:
    async def ask(arguments: Sequence[str]) -> str:
        raise Error(9, "it exited with 3")  # type: ignore[arg-type]

    with pytest.raises(Error, match="'x' is unknown: it exited with 3"):
        await offered({"x": PropertySpec(query_cmd="tool")}, ask)


def test_templates_are_filled_in_and_braces_are_written_twice() -> None:
    assert rendered("{{{action_digest_hash}}} }}{{", {"action_digest_hash": "h"}) == "{h} }{"


@pytest.mark.parametrize("template", ["{", "}", "{nothing}", "{}", "a {action_digest_hash"])
def test_templates_that_are_malformed_are_problems(template: str) -> None:
    assert template_problems(template)
    assert UploadSpec.problems(UploadSpec(ac_store="AC", success_message_template=template))


def test_a_cache_is_needed_unless_nothing_is_cached() -> None:
    assert UploadSpec.problems(UploadSpec())
    assert UploadSpec.problems(UploadSpec(upload_ac_results_strategy="never")) == []


def test_inline_output_gives_way_when_a_result_is_too_large_to_send() -> None:
    response = blank(Function.SHA256)
    response.result.stdout_raw = bytes(MOST_RESULT_BYTES)
    fit(response)
    assert (response.result.stdout_raw, response.status.code) == (b"", 0)


def test_a_result_that_cannot_be_sent_says_why() -> None:
    response = blank(Function.SHA256)
    for number in range(60_000):
        response.result.output_files.add(path=f"{number:080}")
    fit(response)
    assert response.ByteSize() < MOST_RESULT_BYTES
    assert "60000 outputs" in response.status.message


class Hands(Clock):
    """A clock that tests turn."""

    def __init__(self, wall: float) -> None:
        self.at = 0.0
        self._wall = wall

    def wall(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self.at


def test_times_never_run_backwards_even_when_the_scheduler_is_ahead() -> None:
    clock = Hands(wall=100)
    stamps = Stamps(clock, queued_ns=105 * 10**9)
    stamps.mark("worker_start")
    clock.at = 2
    stamps.mark("execution_start")
    clock.at = 5
    stamps.mark("execution_completed")
    metadata = re_pb.ExecutedActionMetadata()
    stamps.write(metadata)
    assert metadata.worker_start_timestamp.seconds == 105
    assert metadata.execution_start_timestamp.seconds == 107
    assert metadata.input_fetch_completed_timestamp.seconds == 105
    assert metadata.worker_completed_timestamp.seconds == 110
    assert metadata.virtual_execution_duration.seconds == 3

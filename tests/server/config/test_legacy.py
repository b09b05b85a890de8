"""Older shapes of services become today's."""

from __future__ import annotations

from typing import Any

import json5
import pytest
from nlserver.config.document import Object, Value, parse
from nlserver.config.legacy import rewritten
from nlserver.config.problem import Problem
from nlserver.spec import Place


def plain(value: Value) -> Any:
    match value.content:
        case Object(pairs=pairs):
            return {name.text: plain(item) for name, item in pairs}
        case tuple():
            return [plain(item) for item in value.content]
        case other:
            return other


def rewrite(services: str) -> tuple[Any, list[Problem]]:
    """The services of a file with one server, and what is reported of them."""
    problems: list[Problem] = []

    def report(place: Place, reason: str, near: str | None, fatal: bool) -> None:
        problems.append(Problem(place, reason, near, fatal))

    root = rewritten(parse(f"{{servers: [{{services:\n{services}}}]}}", "f").root, {"SIZE": "1k"}, report)
    return plain(root)["servers"][0]["services"], problems


@pytest.mark.parametrize("service", ["cas", "ac", "capabilities", "execution", "fetch", "push"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{}", "[]"),
        ('{"": {a: 1}}', '[{instance_name: "", a: 1}]'),
        ('{X: {a: 1}, "y-z": {}}', '[{instance_name: "X", a: 1}, {instance_name: "y-z"}]'),
        ("{X: {a: 1}, X: {a: 2}}", '[{instance_name: "X", a: 2}]'),
    ],
)
def test_a_map_from_instance_names_becomes_a_list(service: str, old: str, new: str) -> None:
    services, problems = rewrite(f"{{{service}: {old}}}")
    assert services == {service: json5.loads(new)}
    assert [problem.fatal for problem in problems] == ([] if old == "{}" else [False])


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "5",
        "'x'",
        "{}",
        "{cas: null}",
        "{cas: []}",
        "{cas: [{a: 1}]}",
        "{cas: {cas_store: 'A'}}",
        "{bytestream: []}",
    ],
)
def test_everything_else_stays_as_it_is(text: str) -> None:
    assert rewrite(text) == (json5.loads(text), [])


@pytest.mark.parametrize("text", ["[]", "{}", "{servers: {}}", "{servers: [5, {services: 7}]}", "1"])
def test_files_of_another_shape_stay_as_they_are(text: str) -> None:
    assert plain(rewritten(parse(text, "f").root, {}, pytest.fail)) == json5.loads(text)


def test_an_instance_name_inside_an_item_of_a_map_is_an_error() -> None:
    _, problems = rewrite("{cas: {X: {instance_name: 'Y', cas_store: 'A'}}}")
    assert [(problem.fatal, problem.place.path.rpartition(".")[2]) for problem in problems] == [
        (False, "cas"),
        (True, "instance_name"),
    ]


def test_the_old_bytestream_becomes_one_item_for_each_store() -> None:
    services, problems = rewrite(
        "{bytestream: {cas_stores: {'': 'A', X: '$B'}, max_bytes_per_stream: '64kb',"
        " persist_stream_on_disconnect_timeout: 3}}"
    )
    shared = {"max_bytes_per_stream": "64kb", "persist_stream_on_disconnect_timeout": 3}
    assert services["bytestream"] == [
        {"instance_name": "", "cas_store": "A", **shared},
        {"instance_name": "X", "cas_store": "$B", **shared},
    ]
    assert [problem.fatal for problem in problems] == [False]


@pytest.mark.parametrize(
    ("text", "fatal", "reason"),
    [
        ("{}", True, '"cas_stores" is missing'),
        ("{X: {cas_store: 'A'}}", True, "bytestream takes no map from instance names"),
        ("{cas_stores: {'': 'A'}, max_bytes_per_streem: 1}", True, "unknown key"),
        ("{cas_stores: []}", True, "expected an object from instance name to store"),
        ("{cas_stores: {'': 'A'}, max_decoding_message_size: 5}", False, "at the listener's http"),
        ("{cas_stores: {'': 'A'}, max_decoding_message_size: '${SIZE}b'}", False, "at the listener's http"),
        ("{cas_stores: {'': 'A'}, max_decoding_message_size: -5}", True, "negative size"),
        ("{cas_stores: {'': 'A'}, max_decoding_message_size: '$NO'}", True, '"NO" is not set'),
    ],
)
def test_the_old_bytestream_takes_its_own_keys_only(text: str, fatal: bool, reason: str) -> None:
    _, problems = rewrite(f"{{bytestream: {text}}}")
    assert [problem.fatal for problem in problems if reason in problem.reason] == [fatal]


def test_an_old_message_size_of_zero_says_nothing() -> None:
    _, problems = rewrite("{bytestream: {cas_stores: {'': 'A'}, max_decoding_message_size: 0}}")
    assert [problem.reason for problem in problems if "message_size" in problem.place.path] == []


def test_problems_of_a_rewritten_value_keep_its_place() -> None:
    _, problems = rewrite("{bytestream: {cas_stores: {'': 'A'},\n\n  bogus: 1}}")
    assert [problem.place.line for problem in problems if problem.fatal] == [4]

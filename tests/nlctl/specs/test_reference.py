"""Every key of every Spec is explained, and the schema takes what the server takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import json5
import pytest
from jsonschema import Draft202012Validator

from nlctl.specs import paths, words
from nlctl.specs.schema import schema

ROOT = Path(__file__).parents[3]
CONFIGS = [
    *sorted((ROOT / "templates").rglob("*.json5")),
    *sorted((ROOT / "tests/server/config").rglob("*.json5")),
    *sorted((ROOT / "tests/faults/configs").glob("*.json5")),
    *sorted((ROOT / "tests/real").rglob("*.json5")),
]


@pytest.fixture(scope="module")
def judge() -> Draft202012Validator:
    made = schema()
    Draft202012Validator.check_schema(made)
    return Draft202012Validator(made)


def test_every_key_says_what_it_means() -> None:
    stops = list(paths.every())
    assert len(stops) > 200
    for stop in stops:
        if stop.slot is not None:
            assert words.of_field(stop.slot), stop.path
            assert words.type_words(stop.slot.hint), stop.path
            assert words.default_words(stop.slot), stop.path
        elif stop.spec is not None:
            assert words.of_class(stop.spec), stop.path
        assert paths.follow(stop.path).path == stop.path


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_schema_takes_every_config_that_we_have(judge: Draft202012Validator, config: Path) -> None:
    problems = [f"{e.json_path}: {e.message}"[:200] for e in judge.iter_errors(json5.loads(config.read_text()))]
    assert problems == []


def _store(body: dict[str, Any]) -> dict[str, Any]:
    return {"stores": [{"name": "S", **body}], "servers": []}


@pytest.mark.parametrize(
    "wrong",
    [
        {"servers": []},
        {"stores": {"S": {"memory": {}}}, "servers": []},
        _store({}),
        _store({"memory": {"evicton_policy": {}}}),
        _store({"memory": {"eviction_policy": {"max_bytes": -1}}}),
        _store({"filesystem": {"content_path": "/a"}}),
        _store({"compression": {"backend": {"memory": {}, "noop": {}}, "compression_algorithm": {"lz4": {}}}}),
        {"stores": [], "servers": [{"listener": {"http": {"socket_address": 50051}}}]},
        {"stores": [], "servers": [], "workers": [{"local": {"platform_properties": {"cpu": ["1"]}}}]},
    ],
)
def test_the_schema_refuses_what_the_server_refuses(judge: Draft202012Validator, wrong: dict[str, Any]) -> None:
    assert not judge.is_valid(wrong)


def test_the_schema_knows_the_maps_of_older_services(judge: Draft202012Validator) -> None:
    services = {
        "cas": {"main": {"cas_store": "S"}, "": {"cas_store": "S"}},
        "bytestream": {"cas_stores": {"": "S"}, "max_bytes_per_stream": "64kb"},
        "fetch": {},
    }
    server = {"listener": {"http": {"socket_address": "127.0.0.1:1"}}, "services": services}
    assert judge.is_valid({"stores": [], "servers": [server]})


def test_a_path_that_leads_nowhere_says_where_it_ends_and_what_was_meant() -> None:
    with pytest.raises(paths.NoSuchPath) as error:
        paths.follow("stores.filesystem.content_pth")
    assert (error.value.part, error.value.meant) == ("content_pth", "content_path")

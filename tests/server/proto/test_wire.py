"""The generated modules say what the protocols say: every fact of `facts/`, one file a protocol.

A line of a file is one fact: `field NAME = NUMBER : TYPE`, `enum NAME = NUMBER`, `rpc NAME : REQUEST -> RESPONSE` or
`message NAME (empty)`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor

POOL = descriptor_pool.Default()
FACTS = sorted((Path(__file__).parent / "facts").glob("*.txt"))
SCALARS = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}


def type_of(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return f"enum {field.enum_type.full_name}"
    if field.message_type is None:
        return SCALARS[field.type]
    if field.message_type.GetOptions().map_entry:
        key, value = (type_of(field.message_type.fields_by_name[name]) for name in ("key", "value"))
        return f"map<{key},{value}>"
    return field.message_type.full_name


def field_fact(name: str) -> str:
    message, field_name = name.rsplit(".", 1)
    field = POOL.FindMessageTypeByName(message).fields_by_name[field_name]
    kind = type_of(field)
    repeated = "repeated " if field.is_repeated and not kind.startswith("map<") else ""
    oneof = field.containing_oneof
    if oneof is None:
        suffix = ""
    elif oneof.name == f"_{field.name}":
        # A proto3 optional stands in a oneof of its own whose name begins with an underscore.
        suffix = " optional"
    else:
        suffix = f" oneof {oneof.name}"
    return f"= {field.number} : {repeated}{kind}{suffix}"


def enum_fact(name: str) -> str:
    enum, value = name.rsplit(".", 1)
    return f"= {POOL.FindEnumTypeByName(enum).values_by_name[value].number}"


def rpc_fact(name: str) -> str:
    service, method = name.split("/")
    found = POOL.FindServiceByName(service).methods_by_name[method]
    asked = "stream " if found.client_streaming else ""
    answered = "stream " if found.server_streaming else ""
    return f": {asked}{found.input_type.full_name} -> {answered}{found.output_type.full_name}"


def message_fact(name: str) -> str:
    assert not POOL.FindMessageTypeByName(name).fields
    return "(empty)"


READERS: dict[str, Callable[[str], str]] = {
    "field": field_fact,
    "enum": enum_fact,
    "rpc": rpc_fact,
    "message": message_fact,
}


def wrong(line: str) -> str | None:
    """What is wrong with a fact, None when it holds."""
    kind, name, expected = re.fullmatch(r"(\w+) (\S+) (.*)", line).groups()  # type: ignore[union-attr]
    try:
        found = READERS[kind](name)
    except KeyError as error:
        found = f"nothing: {error}"
    return None if found == expected else f"{kind} {name}: expected {expected!r}, found {found!r}"


@pytest.mark.parametrize("path", FACTS, ids=lambda path: path.stem)
def test_the_generated_module_holds_every_fact_of_its_protocol(path: Path) -> None:
    importlib.import_module(f"nlserver.proto.{path.stem}_pb2")
    facts = path.read_text().splitlines()
    assert facts
    assert [problem for fact in facts if (problem := wrong(fact))] == []


def test_every_protocol_that_is_spoken_with_others_is_checked() -> None:
    ours = {"admin", "asset"}
    sources = Path(importlib.import_module("nlserver.proto").__path__[0]).glob("*.proto")
    assert {path.stem for path in sources} - ours == {path.stem for path in FACTS}


@pytest.mark.parametrize(
    "fact",
    [
        "field build.bazel.semver.SemVer.major = 2 : int32",
        "field build.bazel.semver.SemVer.micro = 3 : int32",
        "enum build.bazel.remote.execution.v2.DigestFunction.Value.SHA256 = 7",
        "rpc google.bytestream.ByteStream/Read : google.bytestream.ReadRequest -> google.bytestream.ReadResponse",
    ],
)
def test_a_fact_that_does_not_hold_is_noticed(fact: str) -> None:
    importlib.import_module("nlserver.proto.remote_execution_pb2")
    importlib.import_module("nlserver.proto.bytestream_pb2")
    assert wrong(fact) is not None

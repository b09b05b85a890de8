"""Documents of `nlctl`, held to the schemas that ship with it: `valid(done.document)`, `valid_lines(done.out)`."""

from __future__ import annotations

import functools
import json
from typing import Any

from jsonschema import Draft202012Validator

from nlctl import pages


@functools.cache
def schema(name: str) -> Any:
    """The JSON Schema of `nlctl.NAME/v1`."""
    text = pages.read(pages.SCHEMAS, name)
    assert text is not None, f"nlctl/schemas/{name}.v1.json is missing: every document has its schema"
    return json.loads(text)


def valid(document: Any) -> Any:
    """This document, which is as its schema says: one with `items` or `item`, an error, or a line of `-o jsonl`."""
    name = _name(document)
    whole = schema(name)
    if "item" in whole.get("$defs", {}) and not {"item", "items"} & set(document):
        whole, document = _of_item(name), {key: value for key, value in document.items() if key != "schema"}
    problems = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(document)]
    assert not problems, f"nlctl.{name}/v1: " + "; ".join(problems)
    return document


def valid_lines(text: str) -> list[Any]:
    """These JSON lines, each of which is as its schema says."""
    return [valid(json.loads(line)) for line in text.splitlines()]


def _name(document: Any) -> str:
    head, _, version = document["schema"].partition("/")
    assert head.startswith("nlctl.")
    assert version == "v1"
    return str(head.removeprefix("nlctl."))


def _of_item(name: str) -> Any:
    whole = schema(name)
    return {**whole["$defs"]["item"], "$defs": whole["$defs"]}

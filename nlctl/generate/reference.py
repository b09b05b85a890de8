"""The reference pages in `docs/`: commands, JSON documents, the admin API, the Python client."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, cast

from nlctl import manual, pages, topics
from nlctl.description import describe
from nlctl.registry import COMMANDS

_PROTO: Final = Path(__file__).resolve().parents[2] / "server/nlserver/proto/admin.proto"
_HEADER: Final = "<!-- Written by `make generate`; edits are lost. -->"


def files() -> dict[str, str]:
    """Paths in the repository and their texts."""
    return {
        "docs/cli.md": commands(),
        "docs/json.md": documents(),
        "docs/admin-api.md": admin_api(_PROTO.read_text(encoding="utf-8")),
        "docs/python.md": client(),
    }


def commands() -> str:
    """Every command, with the page that `--help` shows."""
    parts = ["# Commands", _HEADER, "What `nlctl COMMAND --help` shows, for every command.", _code(manual.options())]
    for group in dict.fromkeys(leaf.group for leaf in COMMANDS.values()):
        parts.append(f"## {group}")
        for path, leaf in COMMANDS.items():
            if leaf.group == group:
                parts += [f"### nlctl {' '.join(path)}", _code(manual.page(describe(path)))]
    return "\n\n".join(parts) + "\n"


def documents() -> str:
    """What holds for every document, and the keys of each."""
    parts = ["# JSON", _HEADER, _code(topics.text(["output"]) or "")]
    parts.append(
        "A key stands below with its type; `null` is what is not known. Every document is in `nlctl/schemas/`."
    )
    for name in pages.names(pages.SCHEMAS):
        schema = json.loads(pages.read(pages.SCHEMAS, name) or "{}")
        keys = [f"- `{key}`: {kind}{f'. {text}' if text else ''}" for key, kind, text in keys_of(schema)]
        parts += [f"## nlctl.{name}/v1", f"{schema['title']}.", "\n".join(keys)]
    return "\n\n".join(parts) + "\n"


def keys_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each key of a document's own part, its type, and what it means; keys inside keys are joined by dots."""
    properties = schema["properties"]
    own = {
        key: value for key, value in properties.items() if key not in ("schema", "context", "generated_at", "warnings")
    }
    for key, value in own.items():
        yield from _keys(key, value, schema.get("$defs", {}))


def _keys(key: str, value: Mapping[str, Any], named: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    text = value.get("description", "")
    inner, null = _resolved(value, named)
    if inner.get("type") == "array" or (isinstance(inner.get("type"), list) and "array" in inner["type"]):
        items = inner.get("items", {})
        yield from _keys(f"{key}[]", {**items, "description": items.get("description", text)}, named)
        return
    yield key, _kind(inner, null), text or inner.get("description", "")
    if "hash" not in inner.get("properties", {}):
        for name, one in inner.get("properties", {}).items():
            yield from _keys(f"{key}.{name}", one, named)


def _resolved(value: Mapping[str, Any], named: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    choices = value.get("oneOf") or value.get("anyOf")
    if choices:
        kept = [one for one in choices if one.get("type") != "null"]
        return (_resolved(kept[0], named)[0] if len(kept) == 1 else value), len(kept) < len(choices)
    reference = value.get("$ref", "")
    return (named[reference.rpartition("/")[2]] if reference else value), False


def _kind(value: Mapping[str, Any], null: bool) -> str:
    if "enum" in value:
        return " or ".join("null" if one is None else f"`{one}`" for one in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    types = value.get("type", "any")
    names = [types] if isinstance(types, str) else list(types)
    if "hash" in value.get("properties", {}):
        names = ["digest", *names[1:]]
    if value.get("format"):
        names[0] = str(value["format"])
    return " or ".join([*names, *(["null"] if null and "null" not in names else [])])


def admin_api(proto: str) -> str:
    """The service and its messages, with the comments that stand above each."""
    head, _, body = proto.partition('syntax = "proto3";')
    intro = "\n".join(line.removeprefix("//").strip() for line in head.strip().splitlines())
    parts = [
        "# The admin API",
        _HEADER,
        intro,
        f"The source is [admin.proto](../{_PROTO.relative_to(_PROTO.parents[3])}).",
    ]
    comment: list[str] = []
    block: list[str] = []
    for line in body.splitlines():
        if line.startswith("//") and not block:
            comment.append(line.removeprefix("//").strip())
        elif match := re.match(r"(service|message|enum) (\w+)", line):
            parts += [f"## {match[2]}", *(["\n".join(comment)] if comment else [])]
            comment, block = [], [line]
        elif block:
            block.append(line)
        if block and line.rstrip().endswith("}") and not line.startswith(" "):
            parts.append("```proto\n" + "\n".join(block) + "\n```")
            block = []
        elif not line.startswith("//") and not block:
            comment = []
    return "\n\n".join(parts) + "\n"


def client() -> str:
    """`nlserver.reapi.client` by its docstrings."""
    from nlserver.reapi import client as module

    parts = ["# The Python client", _HEADER, _prose(inspect.getdoc(module) or "")]
    for name in module.__all__:
        thing = getattr(module, name)
        parts += [f"## {name}", f"```python\n{_signature(name, thing)}\n```"]
        if own := _doc(thing):
            parts.append(_prose(own))
        for inner, member in vars(thing).items():
            if not inner.startswith("_") and _doc(member) and (callable(member) or isinstance(member, property)):
                parts += [f"### {name}.{inner}", f"```python\n{_signature(inner, member)}\n```", _prose(_doc(member))]
    return "\n\n".join(parts) + "\n"


def _doc(thing: Any) -> str:
    text = getattr(thing, "__doc__", None)
    return (
        inspect.cleandoc(text)
        if isinstance(text, str) and not text.startswith(f"{getattr(thing, '__name__', '')}(")
        else ""
    )


def _signature(name: str, thing: Any) -> str:
    """How it is called, as its source has it; the fields of what only holds values."""
    if inspect.isclass(thing):
        if inspect.isfunction(vars(thing).get("__init__")) and "__dataclass_fields__" not in vars(thing):
            return _header(thing.__init__).replace("def __init__", name, 1).removesuffix(" -> None")
        if issubclass(thing, int):
            return f"{name}: " + ", ".join(one.name for one in cast(Iterable[Enum], thing))
        kinds = vars(thing).get("__annotations__", {}).items()
        fields = [f"    {field}: {getattr(kind, '__forward_arg__', kind)}" for field, kind in kinds]
        return "\n".join([f"class {name}:", *fields]) if fields else f"class {name}"
    if isinstance(thing, property) and thing.fget is not None:
        return f"{name}: {inspect.signature(thing.fget).return_annotation}"
    return _header(thing)


def _header(function: Any) -> str:
    lines = inspect.cleandoc("\n" + inspect.getsource(function)).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(("def ", "async def ")))
    end = next(number for number, line in enumerate(lines[start:], start) if line.endswith(":"))
    text = "\n".join(lines[start : end + 1]).removesuffix(":")
    return (
        re.sub(r"\(\s*self(,\s*(?=\S))?", "(", text, count=1)
        if "\n" not in text
        else text.replace("    self,\n", "", 1)
    )


def _prose(text: str) -> str:
    """Docstrings are paragraphs and indented code; Markdown fences the code."""
    parts = []
    for part in text.split("\n\n"):
        lines = part.splitlines()
        is_code = bool(lines) and all(line.startswith("    ") for line in lines)
        parts.append("```python\n" + "\n".join(line[4:] for line in lines) + "\n```" if is_code else part)
    return "\n\n".join(parts)


def _code(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"

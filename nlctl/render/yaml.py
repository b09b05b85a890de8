"""Values as YAML: block style, texts quoted as JSON, long ones as literals. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def dump(value: Any) -> str:
    """A document."""
    return "\n".join(_lines(value)) + "\n"


def documents(values: list[Any]) -> str:
    """Several documents in one file."""
    return "---\n".join(dump(value) for value in values)


def _lines(value: Any) -> Iterator[str]:
    match value:
        case dict() if value:
            for key, item in value.items():
                yield from _entry(f"{_scalar(key)}:", item)
        case list() if value:
            for item in value:
                first, *rest = _lines(item)
                yield f"- {first}"
                yield from (f"  {line}" for line in rest)
        case _:
            yield _scalar(value)


def _entry(head: str, item: Any) -> Iterator[str]:
    if isinstance(item, dict | list) and item:
        yield head
        yield from (f"  {line}" for line in _lines(item))
    elif isinstance(item, str) and "\n" in item:
        yield f"{head} |{'' if item.endswith(chr(10)) else '-'}"
        yield from (f"  {line}".rstrip() for line in item.removesuffix("\n").split("\n"))
    else:
        yield f"{head} {_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)

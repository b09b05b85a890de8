"""What the Specs' own source says of them: the text below each field, and the names of types for people."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
import types
import typing
from dataclasses import MISSING
from enum import StrEnum
from typing import Annotated, Any, Final

from nlserver.config import shape
from nlserver.config.shape import Slot
from nlserver.spec import Grammar, Spec

_GRAMMARS: Final = {
    Grammar.TEXT: ("text", "a text, in which ${NAME} and ${NAME:-default} are replaced"),
    Grammar.SIZE: ("size", 'bytes as an integer, or a text: "10gb" (10^9), "512Mi" (2^20)'),
    Grammar.DURATION: ("duration", 'whole seconds as an integer, or a text: "90s", "1h30m"'),
    Grammar.SIGNED_DURATION: ("duration", 'whole seconds as an integer, negative ones too, or a text: "90s"'),
    Grammar.NUMBER: ("number", "an integer, or a text with one"),
    Grammar.FLAG: ("flag", "true or false, or a text that says so"),
}
_ZERO: Final = re.compile(r"(?<![\d.:])0(?![\d.:]\d|\d)")
_EXAMPLES: Final = {
    Grammar.TEXT: '"..."',
    Grammar.SIZE: '"10gb"',
    Grammar.DURATION: '"30s"',
    Grammar.SIGNED_DURATION: "30",
    Grammar.NUMBER: "4",
    Grammar.FLAG: "true",
}


def of_class(cls: type[Spec]) -> str:
    """The docstring of a Spec."""
    return inspect.cleandoc(cls.__doc__ or "")


def of_field(slot: Slot) -> str:
    """The text below a field, in the class that declares it."""
    owner = next(base for base in slot.owner.__mro__ if slot.field in vars(base).get("__annotations__", {}))
    return _fields(owner).get(slot.field, "")


@functools.cache
def _fields(cls: type) -> dict[str, str]:
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for line, below in zip(definition.body, definition.body[1:], strict=False):
        if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(below, ast.Expr)):
            continue
        if isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            found[line.target.id] = inspect.cleandoc(below.value.value)
    return found


def members(hint: Any) -> tuple[Any, ...]:
    """The types of a union without None; the type itself where it is none."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(one for one in typing.get_args(hint) if one is not type(None))
    return (hint,)


def nullable(hint: Any) -> bool:
    """Whether null may be written."""
    return type(None) in typing.get_args(hint)


def grammar(hint: Any) -> Grammar | None:
    """How a scalar is written, None for plain JSON5."""
    first = members(hint)[0]
    return typing.get_args(first)[1] if typing.get_origin(first) is Annotated else None


def spec_of(hint: Any) -> type[Spec] | None:
    """The Spec that a value, an item of a list or a value of a map is decoded to."""
    for one in members(hint):
        origin, arguments = typing.get_origin(one), typing.get_args(one)
        if origin in (tuple, list) and (found := spec_of(arguments[0])):
            return found
        if origin is dict and (found := spec_of(arguments[1])):
            return found
        if isinstance(one, type) and issubclass(one, Spec):
            return one
    return None


def is_map(hint: Any) -> bool:
    """Whether keys of any name stand in it."""
    return any(typing.get_origin(one) is dict for one in members(hint))


def choices(hint: Any) -> tuple[str, ...]:
    """The words that may be written, empty where it is no choice."""
    first = members(hint)[0]
    if typing.get_origin(first) is typing.Literal:
        return tuple(map(str, typing.get_args(first)))
    return tuple(first) if isinstance(first, type) and issubclass(first, StrEnum) else ()


def type_words(hint: Any) -> str:
    """A type in a few words."""
    return " or ".join([*dict.fromkeys(_type(one) for one in members(hint)), *(["null"] if nullable(hint) else [])])


def _type(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _GRAMMARS[arguments[1]][1]
    if words := choices(hint):
        return "one of " + ", ".join(f'"{word}"' for word in words)
    if origin in (tuple, list):
        return f"a list: {_type(arguments[0])}"
    if origin is dict:
        return f"a map from names: {type_words(arguments[1])}"
    if issubclass(hint, Spec):
        if (union := shape.union(hint)) is hint and union is not None:
            return f"an object with one key, the kind: {', '.join(shape.kind_names(union))}"
        return "an object"
    return {bool: "true or false", int: "an integer", float: "a number"}.get(hint, "a text, taken literally")


def unit(slot: Slot) -> str:
    """What a number counts; empty where it has no unit."""
    match grammar(slot.hint):
        case Grammar.SIZE:
            return "bytes"
        case Grammar.DURATION | Grammar.SIGNED_DURATION:
            return "milliseconds" if slot.name.endswith("_ms") else "seconds"
    return "bytes" if slot.name.endswith("_bytes") else "seconds" if slot.name.endswith(("_s", "_seconds")) else ""


def default(slot: Slot) -> Any:
    """What holds where the file does not say it: MISSING where it must."""
    return slot.default_factory() if slot.default_factory is not MISSING else slot.default


def default_words(slot: Slot) -> str:
    """The default for people."""
    if slot.required:
        return "none: it must be written"
    value = default(slot)
    if isinstance(value, Spec):
        return "its own defaults"
    return literal(value)


def literal(value: Any) -> str:
    """A value as configs write it."""
    match value:
        case None:
            return "not set"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return f'"{value}"'
    return "[]" if isinstance(value, tuple | list) else "{}"


def zero_words(slot: Slot) -> str:
    """What an explicit 0 means; empty for what is no number."""
    counts = grammar(slot.hint) not in (None, Grammar.TEXT, Grammar.FLAG) or int in members(slot.hint)
    if not counts:
        return ""
    if slot.key.zero is MISSING:
        return _said_of_zero(slot) or "just that"
    return "the same as not set" if slot.key.zero is None else f"the default, {slot.key.zero}"


def _said_of_zero(slot: Slot) -> str:
    """The sentence about 0, or its part, in the text of a field or of its object."""
    for text in (of_field(slot), of_class(slot.owner)):
        for sentence in re.split(r"(?<=[.;]) ", " ".join(text.split())):
            if _ZERO.search(sentence):
                return sentence.rstrip(".;")
    return ""


def example(slot: Slot) -> str:
    """A line that could stand in a config."""
    one = members(slot.hint)[0]
    if (how := grammar(slot.hint)) is not None:
        value = '"NAME_OF_A_STORE"' if slot.name.endswith("_store") else _EXAMPLES[how]
    elif words := choices(slot.hint):
        value = f'"{words[-1]}"'
    elif typing.get_origin(one) in (tuple, list):
        value = "[{ ... }]" if spec_of(one) else '["..."]'
    elif typing.get_origin(one) is dict or spec_of(one):
        value = "{ ... }"
    else:
        value = {bool: "true", int: "4", float: "0.5"}.get(one, '"..."')
    return f"{slot.name}: {value}"

"""Specs inside Specs: going through them, and changing some."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from nlserver.config import shape
from nlserver.spec import Spec

S = TypeVar("S", bound=Spec)
Moved = Callable[[Spec, Spec], None]
"""Told that the second Spec stands for the first from now on."""


def nested(spec: Spec) -> Iterator[Spec]:
    """The Spec and every Spec in it, from the outside inwards, in the order of the fields."""
    yield spec
    for slot in shape.slots(type(spec)):
        yield from _within(getattr(spec, slot.field))


def _within(value: Any) -> Iterator[Spec]:
    match value:
        case Spec():
            yield from nested(value)
        case tuple() | list():
            for item in value:
                yield from _within(item)
        case dict():
            for item in value.values():
                yield from _within(item)


def mapped(spec: S, change: Callable[[Spec], Spec], moved: Moved) -> S:
    """The Spec with `change` made to it and to every Spec in it, from the inside outwards."""
    fields = {slot.field: getattr(spec, slot.field) for slot in shape.slots(type(spec))}
    altered = {name: _mapped(value, change, moved) for name, value in fields.items()}
    different = {name: value for name, value in altered.items() if value is not fields[name]}
    made = change(cast(S, dataclasses.replace(cast(Any, spec), **different)) if different else spec)
    if made is not spec:
        moved(spec, made)
    return cast(S, made)


def _mapped(value: Any, change: Callable[[Spec], Spec], moved: Moved) -> Any:
    match value:
        case Spec():
            return mapped(value, change, moved)
        case tuple() | list():
            items = [_mapped(item, change, moved) for item in value]
            return value if all(a is b for a, b in zip(items, value, strict=True)) else type(value)(items)
        case dict():
            table = {name: _mapped(item, change, moved) for name, item in value.items()}
            return value if all(table[name] is value[name] for name in table) else table
        case _:
            return value

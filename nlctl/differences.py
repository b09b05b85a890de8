"""Where two documents differ, field by field. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_KEYS: Final = ("path", "name")


@dataclass(frozen=True)
class Difference:
    """One field that differs: its path (`environment.PATH`, `output_files[a.o].digest`) and both values.

    None stands for a field that one side lacks.
    """

    field: str
    before: Any
    after: Any


def differences(before: Any, after: Any, field: str = "") -> Iterator[Difference]:
    """Every difference, in the order of the fields. Lists whose items have a path or a name are compared by it."""
    if before == after:
        return
    if _is_digest(before) or _is_digest(after):
        yield Difference(field, before, after)
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            yield from differences(before.get(key), after.get(key), f"{field}.{key}" if field else str(key))
    elif (key := _key_of(before, after)) is not None:
        yield from _keyed(before, after, key, field)
    else:
        yield Difference(field, before, after)


def _keyed(before: Sequence[Any], after: Sequence[Any], key: str, field: str) -> Iterator[Difference]:
    left, right = {one[key]: one for one in before}, {one[key]: one for one in after}
    for value in dict.fromkeys([*left, *right]):
        at = f"{field}[{value}]"
        if value in left and value in right:
            yield from differences(left[value], right[value], at)
        elif left.get(value) != right.get(value):
            yield Difference(at, left.get(value), right.get(value))


def _key_of(before: Any, after: Any) -> str | None:
    """The key that tells the items of both lists apart, if one does."""
    if not (isinstance(before, list) and isinstance(after, list)):
        return None
    items = [*before, *after]
    return next((key for key in _KEYS if items and all(isinstance(one, Mapping) and key in one for one in items)), None)


def _is_digest(value: Any) -> bool:
    return isinstance(value, Mapping) and "hash" in value

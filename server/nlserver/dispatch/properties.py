"""Platform properties, typed: what an action needs and what a worker offers, ready to be compared.

The types are the operator's (`supported_platform_properties`); names that they do not list are `unlisted`. Where a
name comes several times, the last value counts, on both sides (NativeLink behaviour).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nlserver.dispatch.model import Properties
from nlserver.errors import invalid
from nlserver.spec import U64

_NUMBER: Final = re.compile(r"[0-9]{1,20}", re.ASCII)


class PropertyKind(StrEnum):
    """How the values of a property are compared."""

    EXACT = "exact"
    """The worker has the same value."""
    MINIMUM = "minimum"
    """The worker has at least as much left; it is taken while the action runs."""
    PRIORITY = "priority"
    """The worker has the property, with any value."""
    IGNORE = "ignore"
    """Says nothing about workers."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What an action asks of a worker, sorted by name, so that equal needs are equal values.

    `exact` must be equal, `minimum` at least as much, `present` merely there, `unlisted` equal where it is there.
    """

    exact: Properties = ()
    minimum: tuple[tuple[str, int], ...] = ()
    present: tuple[str, ...] = ()
    unlisted: Properties = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """What a worker has: the value of each property, and the amounts of the countable ones."""

    values: Mapping[str, str]
    amounts: Mapping[str, int]


Kinds = Mapping[str, PropertyKind]
"""The operator's types, by property name."""


def needs_of(properties: Properties, kinds: Kinds) -> Needs:
    """The needs of an action with these properties. Raises Error INVALID_ARGUMENT for a `minimum` that is no number."""
    by_kind: dict[PropertyKind | None, list[tuple[str, str]]] = {}
    for name, value in sorted(dict(properties).items()):
        by_kind.setdefault(kinds.get(name), []).append((name, value))
    return Needs(
        exact=tuple(by_kind.get(PropertyKind.EXACT, ())),
        minimum=tuple((name, amount(name, value)) for name, value in by_kind.get(PropertyKind.MINIMUM, ())),
        present=tuple(name for name, _ in by_kind.get(PropertyKind.PRIORITY, ())),
        unlisted=tuple(by_kind.get(None, ())),
    )


def offer_of(properties: Properties, kinds: Kinds) -> Offer:
    """The offer of a worker with these properties. Raises Error INVALID_ARGUMENT for a `minimum` that is no number."""
    values = dict(properties)
    amounts = {name: amount(name, value) for name, value in values.items() if kinds.get(name) is PropertyKind.MINIMUM}
    return Offer(values, amounts)


def amount(name: str, value: str) -> int:
    """The value of a `minimum` property: a decimal u64. Raises Error INVALID_ARGUMENT."""
    if not _NUMBER.fullmatch(value) or (number := int(value)) > U64:
        raise invalid(
            f"Cannot convert to platform property to u64: {name}={value[:80]!r}",
            remedy=f"{name} is configured as 'minimum', so its value must be a whole number.",
        )
    return number

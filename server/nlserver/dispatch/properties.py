"""Platform properties, typed: what an action needs and what a worker offers, ready to be compared.

The types are the operator's (`supported_platform_properties`); names that they do not list are `unlisted`. Where a
name comes several times, every value counts on both sides, and of amounts the largest (REAPI v2, Platform).
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

    `exact` must be there with this value, `minimum` at least as much, `present` with any value, `unlisted` with this
    value where it is there.
    """

    exact: Properties = ()
    minimum: tuple[tuple[str, int], ...] = ()
    present: tuple[str, ...] = ()
    unlisted: Properties = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """What a worker has: each property with each of its values, the same for people, and amounts of the countable."""

    pairs: frozenset[tuple[str, str]]
    values: Mapping[str, str]
    amounts: Mapping[str, int]


Kinds = Mapping[str, PropertyKind]
"""The operator's types, by property name."""


def needs_of(properties: Properties, kinds: Kinds) -> Needs:
    """The needs of an action with these properties. Raises Error INVALID_ARGUMENT for a `minimum` that is no number."""
    by_kind: dict[PropertyKind | None, list[tuple[str, str]]] = {}
    for name, value in sorted(set(properties)):
        by_kind.setdefault(kinds.get(name), []).append((name, value))
    minimum: dict[str, int] = {}
    for name, value in by_kind.get(PropertyKind.MINIMUM, ()):
        minimum[name] = max(minimum.get(name, 0), amount(name, value))
    return Needs(
        exact=tuple(by_kind.get(PropertyKind.EXACT, ())),
        minimum=tuple(minimum.items()),
        present=tuple(dict.fromkeys(name for name, _ in by_kind.get(PropertyKind.PRIORITY, ()))),
        unlisted=tuple(by_kind.get(None, ())),
    )


def offer_of(properties: Properties, kinds: Kinds) -> Offer:
    """The offer of a worker with these properties. Raises Error INVALID_ARGUMENT for a `minimum` that is no number."""
    values: dict[str, list[str]] = {}
    for name, value in properties:
        values.setdefault(name, []).append(value)
    counted = (name for name in values if kinds.get(name) is PropertyKind.MINIMUM)
    amounts = {name: max(amount(name, value) for value in values[name]) for name in counted}
    return Offer(frozenset(properties), {name: " ".join(v) for name, v in values.items()}, amounts)


def amount(name: str, value: str) -> int:
    """The value of a `minimum` property: a decimal u64. Raises Error INVALID_ARGUMENT."""
    if not _NUMBER.fullmatch(value) or (number := int(value)) > U64:
        raise invalid(
            f"Cannot convert to platform property to u64: {name}={value[:80]!r}",
            remedy=f"{name} is configured as 'minimum', so its value must be a whole number.",
        )
    return number

"""A scheduler that changes the platform properties of actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from nlserver.scheduler import SchedulerSpec
from nlserver.spec import Spec, Unavailable


@dataclass(frozen=True, kw_only=True)
class AddSpec(Spec):
    """Set a property, also where the action has it."""

    name: str
    """The property."""
    value: str
    """Its value."""


@dataclass(frozen=True, kw_only=True)
class ReplaceSpec(Spec):
    """Put another property in the place of one that the action has."""

    name: str
    """The property to replace."""
    value: str | None = None
    """Replace only this value of it."""
    new_name: str
    """The property to set."""
    new_value: str | None = None
    """Its value; the old one unless stated."""


@dataclass(frozen=True, kw_only=True)
class ModificationSpec(Spec):
    """One change; exactly one key."""

    add: AddSpec | None = None
    """Set a property."""
    remove: str | None = None
    """Take the property of this name away."""
    replace: ReplaceSpec | None = None
    """Rename a property, or change its value."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """One change at a time, since their order matters."""
        given = [change for change in (values.add, values.remove, values.replace) if change is not None]
        return [] if len(given) == 1 else ["exactly one of 'add', 'remove' and 'replace' must be given"]


@dataclass(frozen=True, kw_only=True)
class PropertyModifierSpec(Unavailable, SchedulerSpec, tag="property_modifier"):
    """Changes the platform properties of actions on their way to another scheduler. Not available yet."""

    instead = "Use its scheduler itself, and let clients send the properties that it knows."

    modifications: tuple[ModificationSpec, ...]
    """The changes, made in this order."""
    scheduler: SchedulerSpec
    """Gets the changed actions."""

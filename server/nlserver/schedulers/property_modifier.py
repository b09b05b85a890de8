"""A scheduler that changes the platform properties of actions."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Self

from nlserver.dispatch.model import ActionRequest, Explanation, OperationState, Properties
from nlserver.scheduler import Abilities, Scheduler, SchedulerSpec, Wrapper
from nlserver.spec import Site, Spec


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
class PropertyModifierSpec(SchedulerSpec, tag="property_modifier"):
    """Changes the platform properties of actions on their way to another scheduler.

    Workers are chosen by the changed properties and are told them. The Action itself stays as it is.
    """

    modifications: tuple[ModificationSpec, ...]
    """The changes, made in this order."""
    scheduler: SchedulerSpec
    """Gets the changed actions."""

    def build(self, site: Site) -> Scheduler:
        """A wrapper around the scheduler."""
        return PropertyModifier(self.scheduler.build(site), self.modifications)


class PropertyModifier(Wrapper):
    """Submits other properties than it is given."""

    def __init__(self, backend: Scheduler, modifications: Sequence[ModificationSpec]) -> None:
        super().__init__(backend)
        self._modifications = modifications

    async def abilities(self, instance: str) -> Abilities:
        """The properties of the scheduler behind, and those that are removed or replaced: clients may send them."""
        behind = await self.backend.abilities(instance)
        taken = {name for change in self._modifications if (name := _taken(change)) is not None}
        return dataclasses.replace(behind, property_names=tuple(sorted(taken.union(behind.property_names))))

    def submit(self, request: ActionRequest) -> AsyncGenerator[OperationState, None]:
        """As the scheduler behind, with changed properties."""
        changed = modified(request.properties, self._modifications)
        return self.backend.submit(dataclasses.replace(request, properties=changed))

    def explain_properties(self, properties: Properties) -> Explanation:
        """As the scheduler behind, for the changed properties."""
        return self.backend.explain_properties(modified(properties, self._modifications))


def _taken(change: ModificationSpec) -> str | None:
    return change.replace.name if change.replace is not None else change.remove


def modified(properties: Properties, modifications: Sequence[ModificationSpec]) -> Properties:
    """The properties after these changes, one after the other; of a name that comes twice the last value counts."""
    values = dict(properties)
    for change in modifications:
        match change:
            case ModificationSpec(add=AddSpec(name=name, value=value)):
                values[name] = value
            case ModificationSpec(remove=str(name)):
                values.pop(name, None)
            case ModificationSpec(replace=ReplaceSpec() as replace):
                _replace(values, replace)
    return tuple(values.items())


def _replace(values: dict[str, str], replace: ReplaceSpec) -> None:
    old = values.get(replace.name)
    if old is not None and replace.value in (None, old):
        del values[replace.name]
        values[replace.new_name] = old if replace.new_value is None else replace.new_value

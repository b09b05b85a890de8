"""What a Spec class takes: its keys with their types, and the kinds of a union. The one reader of annotations."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
import sys
import types
import typing
from dataclasses import MISSING, dataclass
from typing import Any, Final

from nlserver.spec import Key, Spec

_PLAIN: Final = Key(zero=MISSING)
# Classes and their annotations never change.
_hints: Final[dict[tuple[type, str], Any]] = {}


@dataclass(frozen=True)
class Slot:
    """One field of a Spec: the JSON5 key that fills it and what the field says of itself."""

    owner: type[Spec]
    field: str
    key: Key
    default: Any
    default_factory: Any

    @property
    def name(self) -> str:
        """The JSON5 key."""
        return self.key.name or self.field

    @property
    def required(self) -> bool:
        """Whether the file must say it."""
        return self.default is MISSING and self.default_factory is MISSING

    @property
    def is_list(self) -> bool:
        """Whether the field holds a list that an empty one can stand in for."""
        return typing.get_origin(self.hint) is tuple

    @property
    def hint(self) -> Any:
        """The type; this imports the module it stands in."""
        if (self.owner, self.field) not in _hints:
            _hints[self.owner, self.field] = _hint(self.owner, self.field)
        return _hints[self.owner, self.field]


def slots(cls: type[Spec]) -> tuple[Slot, ...]:
    """The fields of a Spec that keys fill, in order; a field with `aside` in its metadata is none of them."""
    fields = dataclasses.fields(cls) if "__dataclass_fields__" in dir(cls) else ()  # type: ignore[arg-type]
    return tuple(
        Slot(cls, field.name, field.metadata.get("key", _PLAIN), field.default, field.default_factory)
        for field in fields
        if not field.metadata.get("aside")
    )


def keys(cls: type[Spec]) -> dict[str, Slot]:
    """Every spelling of every key of a Spec, except the keys of a union that stands beside the others."""
    table = {slot.name: slot for slot in slots(cls) if not slot.key.beside}
    return table | {slot.key.alias: slot for slot in slots(cls) if slot.key.alias}


def beside(cls: type[Spec]) -> Slot | None:
    """The field whose union has its key among the keys of the object itself."""
    return next((slot for slot in slots(cls) if slot.key.beside), None)


def union(cls: type[Spec]) -> type[Spec] | None:
    """The union that a kind belongs to, or the union itself; None for a plain object."""
    return next((base for base in cls.__mro__ if vars(base).get("kinds") is not None), None)


def kind_names(cls: type[Spec]) -> tuple[str, ...]:
    """The kinds that a union knows; nothing is imported to tell."""
    if cls is not union(cls):
        return (cls.tag,)
    if not cls.kinds:
        return tuple(cls.tags)
    package = importlib.import_module(cls.kinds)
    return tuple(module.name for module in pkgutil.iter_modules(package.__path__))


def kind(cls: type[Spec], tag: str) -> type[Spec] | None:
    """The kind of this name, its module imported for it; None when the union has none."""
    if tag not in kind_names(cls):
        return None
    if cls.kinds:
        importlib.import_module(f"{cls.kinds}.{tag}")
    return cls.tags.get(tag)


def variants(cls: type[Spec]) -> dict[str, type[Spec]]:
    """The subclasses of a kind by the word that chooses each; see `Spec.chosen_by`."""
    return {
        word: variant for variant in cls.__subclasses__() for word in typing.get_args(keys(variant)[cls.chosen_by].hint)
    }


def _hint(cls: type[Spec], field: str) -> Any:
    owner = next(base for base in cls.__mro__ if field in vars(base).get("__annotations__", {}))
    annotation = vars(owner)["__annotations__"][field]
    late = {
        name: getattr(importlib.import_module(module), name)
        for name, module in cls.elsewhere.items()
        if re.search(rf"\b{name}\b", str(annotation))
    }
    holder = types.SimpleNamespace(__annotations__={field: annotation})
    namespace = vars(sys.modules[owner.__module__])
    return typing.get_type_hints(holder, namespace, late, include_extras=True)[field]

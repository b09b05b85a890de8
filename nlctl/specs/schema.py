"""The JSON Schema of config files, for editors: made from the Specs."""

from __future__ import annotations

import typing
from typing import Annotated, Any, Final

from nlserver.cluster import Config
from nlserver.config import shape
from nlserver.config.shape import Slot
from nlserver.service import InstanceSpec
from nlserver.services.bytestream import ByteStreamSpec
from nlserver.spec import U64, Grammar, Spec

from nlctl.specs import words

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_SHARED_BY_STREAMS: Final = ("max_bytes_per_stream", "persist_stream_on_disconnect_timeout_s")


def schema() -> dict[str, Any]:
    """The schema of a whole file (JSON Schema 2020-12)."""
    made = _Making()
    root = made.reference(Config)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A config of nlserver and NativeLink",
        **root,
        "$defs": dict(sorted(made.definitions.items())),
    }


class _Making:
    """Collects one definition for each Spec class."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}

    def reference(self, cls: type[Spec]) -> dict[str, Any]:
        """What points at the definition of a class, which is made if it is not there yet."""
        name = f"{cls.__module__.removeprefix('nlserver.')}.{cls.__name__}"
        if name not in self.definitions:
            self.definitions[name] = {}
            self.definitions[name] = self._definition(cls)
        return {"$ref": f"#/$defs/{name}"}

    def _definition(self, cls: type[Spec]) -> dict[str, Any]:
        if shape.union(cls) is cls:
            return self._union(cls)
        if cls.chosen_by and cls.chosen_by not in shape.keys(cls):
            return {"oneOf": [self.reference(variant) for variant in shape.variants(cls).values()]}
        return self._object(cls)

    def _union(self, cls: type[Spec]) -> dict[str, Any]:
        kinds = self._kinds(cls)
        one = {
            "type": "object",
            "description": words.of_class(cls),
            "properties": kinds,
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        }
        bare = [] if cls.kinds else [name for name in kinds if not shape.slots(_kind(cls, name))]
        return {"anyOf": [one, {"enum": bare}]} if bare else one

    def _kinds(self, cls: type[Spec]) -> dict[str, Any]:
        return {name: self.reference(_kind(cls, name)) for name in shape.kind_names(cls)}

    def _object(self, cls: type[Spec]) -> dict[str, Any]:
        named = shape.keys(cls)
        properties = {name: self._slot(slot) for name, slot in named.items()}
        required = [slot.name for slot in named.values() if slot.required and slot.key.alias is None]
        made: dict[str, Any] = {"type": "object", "description": words.of_class(cls), "properties": properties}
        if (beside := shape.beside(cls)) is not None:
            union = words.spec_of(beside.hint)
            assert union is not None
            kinds = self._kinds(union)
            made["properties"] = {**properties, **kinds}
            made["anyOf"] = [{"required": [name]} for name in kinds]
        if required:
            made["required"] = list(dict.fromkeys(required))
        made["additionalProperties"] = cls.ignores_unknown
        return made

    def _slot(self, slot: Slot) -> dict[str, Any]:
        value = self._value(slot.hint, slot)
        if slot.name in _LEGACY and issubclass(words.spec_of(slot.hint) or Spec, InstanceSpec):
            value = {"anyOf": [value, self._older(slot)]}
        described: dict[str, Any] = {"description": words.of_field(slot)}
        default = words.default(slot)
        if isinstance(default, bool | int | float | str):
            described["default"] = default
        return {**value, **described}

    def _older(self, slot: Slot) -> dict[str, Any]:
        """The map of older releases: from instance names to settings, and one object for all streams."""
        item = words.spec_of(slot.hint)
        assert item is not None
        if item is ByteStreamSpec:
            keys = shape.keys(item)
            shared = {name: self._slot(keys[name]) for name in keys if name.startswith(_SHARED_BY_STREAMS)}
            stores = {"type": "object", "additionalProperties": _TEXT}
            own = {"cas_stores": stores, "max_decoding_message_size": _scalar(Grammar.SIZE, U64)}
            return _strict({**own, **shared}, ["cas_stores"])
        plain = self._object(item)
        properties = {name: one for name, one in plain["properties"].items() if name != "instance_name"}
        required = [name for name in plain.get("required", ()) if name != "instance_name"]
        return {"type": "object", "additionalProperties": _strict(properties, required)}

    def _value(self, hint: Any, slot: Slot | None = None) -> dict[str, Any]:
        members = words.members(hint)
        made = [self._member(one, slot) for one in members]
        if words.nullable(hint):
            made.append({"type": "null"})
        return made[0] if len(made) == 1 else {"anyOf": made}

    def _member(self, hint: Any, slot: Slot | None) -> dict[str, Any]:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is Annotated:
            return _scalar(arguments[1], slot.key.most if slot is not None else U64)
        if chosen := words.choices(hint):
            return {"enum": list(chosen)}
        if origin in (tuple, list):
            return {"type": "array", "items": self._value(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self._value(arguments[1])}
        if issubclass(hint, Spec):
            return self._spec(hint)
        return {"type": {bool: "boolean", int: "integer", float: "number"}.get(hint, "string")}

    def _spec(self, hint: type[Spec]) -> dict[str, Any]:
        """A plain object, a union, or the one kind of a union that a field takes."""
        if shape.union(hint) in (None, hint):
            return self.reference(hint)
        return _strict({hint.tag: self.reference(hint)}, [hint.tag])


_LEGACY: Final = ("cas", "ac", "capabilities", "execution", "bytestream", "fetch", "push")


def _kind(cls: type[Spec], name: str) -> type[Spec]:
    found = shape.kind(cls, name)
    assert found is not None
    return found


def _strict(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _scalar(grammar: Grammar, most: int) -> dict[str, Any]:
    match grammar:
        case Grammar.TEXT:
            return _TEXT
        case Grammar.FLAG:
            return {"anyOf": [{"type": "boolean"}, {"type": "string"}]}
        case Grammar.SIGNED_DURATION:
            return {"anyOf": [{"type": "integer"}, _TEXT]}
    return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": most}, _TEXT]}

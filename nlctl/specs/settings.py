"""The settings of a config as a flat list: every path with its value, its place, and whether the file says it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nlserver.cluster import Config
from nlserver.config import shape
from nlserver.spec import Spec

_NAMES = ("name", "instance_name", "socket_address")


@dataclass(frozen=True)
class Setting:
    """One value. `where` is FILE:LINE, or "default" where the file does not say it."""

    path: str
    value: Any
    where: str

    @property
    def said(self) -> bool:
        """Whether the file says it."""
        return self.where != "default"


def settings(config: Config) -> list[Setting]:
    """Every setting that holds, in the order of the Specs. Entries of lists are called by their names."""
    return list(_of_spec(config, config, ""))


def _of_spec(config: Config, spec: Spec, path: str) -> Iterator[Setting]:
    for slot in shape.slots(type(spec)):
        value = getattr(spec, slot.field)
        name = value.tag if slot.key.beside and isinstance(value, Spec) else slot.name
        said = config.source.origins.says(spec, slot.field)
        place = config.place(spec, slot.field)
        where = f"{place.file}:{place.line}" if said else "default"
        yield from _of_value(config, value, f"{path}.{name}" if path else name, where, tagged=not slot.key.beside)


def _of_value(config: Config, value: Any, path: str, where: str, *, tagged: bool) -> Iterator[Setting]:
    match value:
        case Spec():
            kind = f"{path}.{value.tag}" if value.tag and tagged else path
            if shape.slots(type(value)):
                yield from _of_spec(config, value, kind)
            else:
                yield Setting(kind, {}, where)
        case tuple() | list() if any(isinstance(item, Spec) for item in value):
            for index, item in enumerate(value):
                called = _called(item)
                yield from _of_value(config, item, f"{path}[{called or index}]", where, tagged=True)
        case dict() if any(isinstance(item, Spec) for item in value.values()):
            for name, item in value.items():
                yield from _of_value(config, item, f"{path}.{name}", where, tagged=True)
        case _:
            yield Setting(path, plain(value), where)


def _called(item: Any) -> str:
    """What tells an entry of a list from the others: a name, an instance, an address."""
    for one in (item, getattr(item, "listener", None)):
        for key in _NAMES:
            if name := getattr(one, key, ""):
                return str(name)
    return ""


def plain(value: Any) -> Any:
    """A value as JSON writes it."""
    match value:
        case StrEnum():
            return str(value)
        case tuple() | list():
            return [plain(item) for item in value]
        case dict():
            return {str(name): plain(item) for name, item in value.items()}
    return value


@dataclass(frozen=True)
class Difference:
    """A path on which two configs do not agree; a side that lacks it has None and "absent"."""

    path: str
    before: Any
    after: Any
    before_where: str
    after_where: str


def differences(before: Config, after: Config) -> list[Difference]:
    """What two configs mean differently: comments, order of keys, defaults that are written out do not count."""
    old, new = _table(before), _table(after)
    return [
        Difference(path, *_side(old, path)[:1], *_side(new, path)[:1], _side(old, path)[1], _side(new, path)[1])
        for path in dict.fromkeys([*old, *new])
        if path not in old or path not in new or old[path].value != new[path].value
    ]


def _table(config: Config) -> Mapping[str, Setting]:
    return {setting.path: setting for setting in settings(config)}


def _side(table: Mapping[str, Setting], path: str) -> tuple[Any, str]:
    setting = table.get(path)
    return (setting.value, setting.where) if setting is not None else (None, "absent")

"""Older shapes of services, rewritten in one place to the ones of today before anything is decoded.

Services were maps from instance name to settings; `bytestream` was one object for all its instances.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from nlserver.config.document import Name, Object, Value
from nlserver.config.problem import nearest
from nlserver.config.scalar import Unfit, scalar
from nlserver.spec import U64, Grammar, Place

Report = Callable[[Place, str, str | None, bool], None]
"""Told where a problem stands, its reason, the nearest valid word, and whether it is fatal."""

_INSTANCE_LISTS: Final = ("cas", "ac", "capabilities", "execution", "fetch", "push")
_SHARED: Final = (
    "max_bytes_per_stream",
    "persist_stream_on_disconnect_timeout_s",
    "persist_stream_on_disconnect_timeout",
)
_DROPPED: Final = "max_decoding_message_size"
_OLD_BYTESTREAM: Final = ("cas_stores", _DROPPED, *_SHARED)


def rewritten(root: Value, environment: Mapping[str, str], report: Report) -> Value:
    """The file with every service list in today's shape; each older shape is reported as deprecated."""
    return _changed(
        root, "servers", lambda servers: _each(servers, lambda server: _server(server, environment, report))
    )


def _server(server: Value, environment: Mapping[str, str], report: Report) -> Value:
    def services(value: Value) -> Value:
        for key in _INSTANCE_LISTS:
            value = _changed(value, key, lambda item: _instances(item, report))
        return _changed(value, "bytestream", lambda item: _bytestream(item, environment, report))

    return _changed(server, "services", services)


def _changed(value: Value, key: str, change: Callable[[Value], Value]) -> Value:
    if not isinstance(value.content, Object):
        return value
    pairs = tuple((name, change(item) if name.text == key else item) for name, item in value.pairs)
    return Value(value.place, replace(value.content, pairs=pairs))


def _each(value: Value, change: Callable[[Value], Value]) -> Value:
    return Value(value.place, tuple(map(change, value.items))) if isinstance(value.content, tuple) else value


def _instances(service: Value, report: Report) -> Value:
    """`{"X": {...}}` becomes `[{instance_name: "X", ...}]`. The last one wins where a name is given twice."""
    if not isinstance(service.content, Object):
        return service
    if service.pairs and not any(isinstance(item.content, Object) for _, item in service.pairs):
        # Settings without the list around them, rather than a map from instance names.
        return service
    _deprecate(service, 'write a list: [{instance_name: "...", ...}]', report)
    latest = {name.text: (name, item) for name, item in service.pairs}
    return Value(service.place, tuple(_instance(name, item, report) for name, item in latest.values()))


def _instance(name: Name, item: Value, report: Report) -> Value:
    if not isinstance(item.content, Object):
        return item
    stray = [key for key, _ in item.pairs if key.text == "instance_name"]
    for key in stray:
        report(key.place, f'the instance is named already by its key "{name.text}": take this out', None, True)
    pairs = tuple(pair for pair in item.pairs if pair[0] not in stray)
    return Value(item.place, Object((_named(name), *pairs), strict=True))


def _named(name: Name) -> tuple[Name, Value]:
    place = replace(name.place, path=f"{name.place.path}.instance_name")
    return Name("instance_name", place), Value(place, name.text)


def _bytestream(service: Value, environment: Mapping[str, str], report: Report) -> Value:
    """`{cas_stores: {"X": "STORE"}, ...}` becomes `[{instance_name: "X", cas_store: "STORE", ...}]`."""
    if not isinstance(service.content, Object):
        return service
    today = 'write a list: [{instance_name: "...", cas_store: "..."}]'
    if service.pairs and all(
        isinstance(item.content, Object) and name.text not in _OLD_BYTESTREAM for name, item in service.pairs
    ):
        report(service.place, f"bytestream takes no map from instance names: {today}", None, True)
        return Value(service.place, ())
    _deprecate(service, today, report)
    _judge_old_bytestream(service, environment, report)
    stores = service.get("cas_stores")
    if stores is None:
        return Value(service.place, ())
    shared = tuple((name, item) for name, item in service.pairs if name.text in _SHARED)
    latest = {name.text: (name, item) for name, item in stores.pairs}
    return Value(service.place, tuple(_stream(name, item, shared) for name, item in latest.values()))


def _stream(name: Name, store: Value, shared: tuple[tuple[Name, Value], ...]) -> Value:
    pairs = (_named(name), (replace(name, text="cas_store"), store), *shared)
    return Value(store.place, Object(pairs, strict=True))


def _judge_old_bytestream(service: Value, environment: Mapping[str, str], report: Report) -> None:
    for name, item in service.pairs:
        if name.text not in _OLD_BYTESTREAM:
            reason = f'unknown key "{name.text}"; known here: {", ".join(_OLD_BYTESTREAM[:-1])}'
            report(name.place, reason, nearest(name.text, _OLD_BYTESTREAM), True)
        elif name.text == _DROPPED:
            _judge_dropped(item, environment, report)
        elif name.text == "cas_stores" and not isinstance(item.content, Object):
            report(item.place, f"expected an object from instance name to store, found {item.kind}", None, True)
    if service.get("cas_stores") is None:
        report(service.place, '"cas_stores" is missing', None, True)


def _judge_dropped(value: Value, environment: Mapping[str, str], report: Report) -> None:
    try:
        size = scalar(Grammar.SIZE, value, environment, U64)
    except Unfit as unfit:
        report(value.place, unfit.reason, unfit.nearest, True)
        return
    if size:
        report(value.place, "ignored: write max_decoding_message_size at the listener's http", None, False)


def _deprecate(service: Value, advice: str, report: Report) -> None:
    if service.pairs:
        report(service.place, f"this is the shape of older releases: {advice}", None, False)

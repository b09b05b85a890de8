"""Values to Specs, driven by the Specs' annotations. Problems are collected; what is sound is built all the same."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from enum import Enum, StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar, cast

from nlserver.config import scalar, shape
from nlserver.config.document import Document, Name, Object, Value
from nlserver.config.origins import Origins
from nlserver.config.problem import Problem, Sort, nearest
from nlserver.config.renamed import ADVICE
from nlserver.config.scalar import Unfit
from nlserver.config.shape import Slot
from nlserver.config.units import shown
from nlserver.spec import Flag, Grammar, Key, Number, Place, Spec

S = TypeVar("S", bound=Spec)
_MOST_LISTED: Final = 24


class _Wrong(Enum):
    WRONG = "wrong"


WRONG: Final = _Wrong.WRONG
"""Stands for a value that could not be decoded; its problems have been reported."""
_ANY: Final = Key(zero=MISSING)


class Decoder:
    """Decodes the values of one document; collects `problems`, and in `origins` where each Spec stands.

    `exact` says that NativeLink decodes in two steps here (see `Spec.buffered`).
    """

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment
        self.problems: list[Problem] = []
        self.origins = Origins()

    def spec(self, cls: type[S], value: Value) -> S | None:
        """The Spec, with defaults in place of optional values that are wrong; None when it cannot be made."""
        made = self._object(cls, value, exact=False)
        return None if made is WRONG else cast(S, made)

    def report(
        self,
        place: Place,
        reason: str,
        near: str | None = None,
        *,
        fatal: bool = True,
        sort: Sort = Sort.VALUE,
    ) -> Literal[_Wrong.WRONG]:
        """Add a problem."""
        self.problems.append(Problem(place, reason, near, fatal, self._document.excerpt(place), sort))
        return WRONG

    def note(self, place: Place, reason: str, near: str | None, fatal: bool) -> None:
        """Add a problem that was found before decoding; what is not fatal there is an older shape."""
        self.report(place, reason, near, fatal=fatal, sort=Sort.VALUE if fatal else Sort.OLD_SHAPE)

    # One object

    def _object(self, cls: type[Spec], value: Value, *, exact: bool) -> Any:
        if value.content == () and cls.ignores_unknown and not shape.slots(cls):
            value = Value(value.place, Object(()))
        if not isinstance(value.content, Object):
            return self.report(value.place, f"expected an object, found {value.kind}")
        if cls.chosen_by and cls.chosen_by not in shape.keys(cls):
            return self._variant(cls, value, exact=exact)
        reading = _Reading(self, cls, value, exact=exact or cls.buffered)
        return reading.made()

    def _variant(self, cls: type[Spec], value: Value, *, exact: bool) -> Any:
        variants = shape.variants(cls)
        word = value.get(cls.chosen_by)
        if word is None:
            return self.report(
                value.place, f"{shown(cls.chosen_by)} is missing: one of {_listed(variants)}", sort=Sort.MISSING
            )
        try:
            return self._object(variants[_word(variants, word)], value, exact=exact)
        except Unfit as unfit:
            return self.report(word.place, unfit.reason, unfit.nearest, sort=unfit.sort)

    def union(self, cls: type[Spec], value: Value, *, exact: bool) -> Any:
        """An object whose one key is the kind; a kind without keys of its own may be written as a text."""
        if isinstance(value.content, str):
            return self._word_kind(cls, value, exact=exact)
        if not value.pairs:
            found = "none" if isinstance(value.content, Object) else value.kind
            return self.report(value.place, f"expected an object with one key, found {found}; {_one_of(cls)}")
        (name, body), *others = value.pairs
        for extra, _ in others:
            if exact:
                self.report(extra.place, f"one key too many: an object with one key is expected here, {name.text}")
            else:
                self.report(extra.place, f"ignored: only the first key counts here, {name.text}", fatal=False)
        return self.kind(cls, name, body, exact=exact)

    def kind(self, cls: type[Spec], name: Name, body: Value, *, exact: bool) -> Any:
        """The kind that a key names."""
        found = shape.kind(cls, name.text)
        if found is None:
            return self.unknown(name, shape.kind_names(cls), "kind")
        return self._object(found, body, exact=exact)

    def _word_kind(self, cls: type[Spec], value: Value, *, exact: bool) -> Any:
        word = scalar.literal(value)
        found = None if cls.kinds else shape.kind(cls, word)
        if found is None:
            near = nearest(word, shape.kind_names(cls))
            return self.report(value.place, f"expected an object with one key, found a text; {_one_of(cls)}", near)
        if shape.slots(found):
            return self.report(value.place, f"{shown(word)} needs an object: write {{{word}: {{...}}}}")
        return self._object(found, Value(value.place, Object(())), exact=exact)

    def unknown(
        self, name: Name, known: Iterable[str], what: str = "key", *, fatal: bool = True
    ) -> Literal[_Wrong.WRONG]:
        """Report a key that is not among the known ones, with the nearest of them."""
        known = list(known)
        reason = f"unknown {what} {shown(name.text)}" + ("" if fatal else " is ignored")
        if (advice := ADVICE.get(name.text)) is not None:
            return self.report(name.place, f"{reason}: {advice}", fatal=fatal, sort=Sort.UNKNOWN)
        near = nearest(name.text, known)
        if near is None and fatal:
            reason += f"; known here: {_listed(known)}"
        return self.report(name.place, reason, near, fatal=fatal, sort=Sort.UNKNOWN)

    # One value

    def value(self, hint: Any, value: Value, key: Key = _ANY, *, exact: bool) -> Any:
        """What a type makes of a value, or WRONG."""
        try:
            return self._value(hint, value, key, exact=exact)
        except Unfit as unfit:
            return self.report(value.place, unfit.reason, unfit.nearest, sort=unfit.sort)

    def _value(self, hint: Any, value: Value, key: Key, *, exact: bool) -> Any:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Union or origin is types.UnionType:
            return self._either(arguments, value, key, exact=exact)
        if value.content is None:
            return self.report(value.place, "null is not allowed here")
        if origin is Annotated:
            return scalar.scalar(cast(Grammar, arguments[1]), value, self._environment, key.most)
        if origin is tuple or origin is list:
            return self._list(arguments[0], value, origin, exact=exact)
        if origin is dict:
            return self._map(arguments[1], value, exact=exact)
        if origin is Literal:
            return _word(arguments, value)
        return self._plain(hint, value, key, exact=exact)

    def _plain(self, hint: type, value: Value, key: Key, *, exact: bool) -> Any:
        if issubclass(hint, Spec):
            return (self.union if shape.union(hint) else self._object)(hint, value, exact=exact)
        if issubclass(hint, StrEnum):
            return hint(_word([str(member) for member in hint], value))
        if hint is bool:
            return scalar.boolean(value)
        if hint is int:
            return scalar.integer(value, key.most) if exact else self._cast(value, key)
        return scalar.real(value) if hint is float else scalar.literal(value)

    def _cast(self, value: Value, key: Key) -> int:
        number = scalar.cast(value, key.most)
        if number != value.content:
            self.report(value.place, f"{value.content} is read as {number}: write an integer", fatal=False)
        return number

    def _either(self, members: tuple[Any, ...], value: Value, key: Key, *, exact: bool) -> Any:
        """A member of a union of types: null, or the member that the value looks like."""
        nullable = type(None) in members
        members = tuple(member for member in members if member is not type(None))
        if value.content is None:
            # No null among flags, nor where None is only our word for an explicit 0 (NativeLink behaviour).
            if nullable and members != (Flag,) and key.zero is not None:
                return None
            return self.report(value.place, "null is not allowed here")
        if nullable and members == (Number,) and isinstance(value.content, str) and value.content.isspace():
            return None
        if len(members) > 1:
            objects = tuple(member for member in members if isinstance(member, type) and issubclass(member, Spec))
            words = tuple(member for member in members if member not in objects)
            members = objects if isinstance(value.content, Object) and objects else words
        return self._value(members[0], value, key, exact=exact)

    def _list(self, hint: Any, value: Value, make: type, *, exact: bool) -> Any:
        if not isinstance(value.content, tuple):
            return self.report(value.place, f"expected a list, found {value.kind}{_list_hint(hint, value)}")
        items = [self.value(hint, item, exact=exact) for item in value.content]
        return make(item for item in items if item is not WRONG)

    def _map(self, hint: Any, value: Value, *, exact: bool) -> Any:
        if not isinstance(value.content, Object):
            return self.report(value.place, f"expected an object, found {value.kind}")
        items = {name.text: self.value(hint, item, exact=exact) for name, item in value.content.pairs}
        return {name: item for name, item in items.items() if item is not WRONG}


class _Reading:
    """The decoding of one object."""

    def __init__(self, decoder: Decoder, cls: type[Spec], value: Value, *, exact: bool) -> None:
        self._decoder = decoder
        self._cls = cls
        self._value = value
        self._exact = exact
        self._keys = shape.keys(cls)
        self._beside = shape.beside(cls)
        self._fields: dict[str, Any] = {}
        self._places: dict[str, Place] = {}
        self._strangers: list[Name] = []
        self._meant: set[str | None] = set()

    def made(self) -> Spec | Literal[_Wrong.WRONG]:
        """The Spec, or WRONG when a value that it cannot be without is wrong or missing."""
        for name, item in self._value.pairs:
            self._pair(name, item)
        self._report_strangers()
        self._report_missing()
        sound = {field: item for field, item in self._fields.items() if item is not WRONG}
        absent = [slot for slot in shape.slots(self._cls) if slot.required and slot.field not in sound]
        if not all(slot.is_list for slot in absent):
            return WRONG
        spec = self._cls(**sound, **{slot.field: () for slot in absent})
        wrong = {field for field, item in self._fields.items() if item is WRONG} | {slot.field for slot in absent}
        self._decoder.origins.record(spec, self._value.place, self._places, wrong)
        if not wrong:
            self._report_together(spec)
        return spec

    def _pair(self, name: Name, item: Value) -> None:
        slot = self._keys.get(name.text)
        if slot is None:
            self._other(name, item)
        elif slot.field in self._places:
            twice = f"{shown(slot.name)} is given twice"
            as_alias = "" if name.text == slot.name else f" ({name.text} is another name of it)"
            self._decoder.report(name.place, twice + as_alias)
        else:
            self._places[slot.field] = item.place
            self._fields[slot.field] = _zeroed(
                slot.key, self._decoder.value(slot.hint, item, slot.key, exact=self._exact)
            )

    def _other(self, name: Name, item: Value) -> None:
        slot = self._beside
        if slot is None or name.text not in shape.kind_names(slot.hint):
            self._strangers.append(name)
        elif slot.field in self._places:
            self._decoder.report(name.place, f"ignored: only the first kind counts, {self._tag(slot)}", fatal=False)
        else:
            self._places[slot.field] = name.place
            self._fields[slot.field] = self._decoder.kind(slot.hint, name, item, exact=self._exact)

    def _tag(self, slot: Slot) -> str:
        made = self._fields[slot.field]
        return made.tag if isinstance(made, Spec) else "the one before"

    def _report_strangers(self) -> None:
        content = cast(Object, self._value.content)
        kindless = self._beside is not None and self._beside.field not in self._places
        ignored = self._cls.ignores_unknown and not content.strict and not kindless
        known = [slot.name for slot in self._keys.values()]
        if self._beside is not None:
            kinds = shape.kind_names(self._beside.hint)
            known = [*kinds] if kindless else [*kinds, *known]
        for name in self._strangers:
            self._meant.add(nearest(name.text, known))
            self._decoder.unknown(name, known, "kind" if kindless else "key", fatal=not ignored)

    def _report_missing(self) -> None:
        for slot in shape.slots(self._cls):
            meant = slot.name in self._meant or (slot.key.beside and self._strangers)
            if slot.required and slot.field not in self._places and not meant:
                missing = _one_of(slot.hint) if slot.key.beside else f"{shown(slot.name)} is missing"
                self._decoder.report(self._value.place, missing, sort=Sort.MISSING)

    def _report_together(self, spec: Spec) -> None:
        for reason in self._cls.problems(spec):
            self._decoder.report(self._mentioned(reason), reason, sort=Sort.TOGETHER)

    def _mentioned(self, reason: str) -> Place:
        """The place of the key that a sentence begins with, else that of the object."""
        first = reason.partition(" ")[0].strip("'\":").partition(".")[0]
        return self._places.get(first, self._value.place)


def _zeroed(key: Key, value: Any) -> Any:
    if key.zero is MISSING or isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    return value or key.zero


def _word(words: Iterable[str], value: Value) -> str:
    words = list(words)
    expected = "expected " + (" or " if len(words) == 2 else ", ").join(f'"{word}"' for word in words)
    if not isinstance(value.content, str):
        raise Unfit(f"{expected}; found {value.kind}")
    if value.content not in words:
        raise Unfit(f"{expected}; found {shown(value.content)}", nearest(value.content, words))
    return value.content


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = ", ..." if len(names) > _MOST_LISTED else ""
    return ", ".join(names[:_MOST_LISTED]) + more if names else "none"


def _one_of(cls: type[Spec]) -> str:
    return f"a kind is missing: one of {_listed(shape.kind_names(cls))}"


def _list_hint(hint: Any, value: Value) -> str:
    """How an object that stands in place of a list is written; NativeLink once took maps from name to entry."""
    if not (isinstance(hint, type) and issubclass(hint, Spec) and value.pairs):
        return ""
    return f': write [{{name: "{value.pairs[0][0].text}", ...}}]' if shape.beside(hint) else ": write [{...}]"

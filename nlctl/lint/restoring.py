"""Values of a JSON5 text written as another text has them, and all else of it left alone, comments too. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from nlserver.config.document import Name, Object, Value, end_of_value, parse, under
from nlserver.config.problem import ConfigError
from nlserver.spec import Place

from nlctl.lint.scene import values

_INSTANCE: Final = "instance_name"
_NAME: Final = "name"
_LINE_END: Final = re.compile(r"\r\n|[\n\r\u2028\u2029]")

Meant = Callable[[str], bool]
"""Whether a config path of the text that is edited is to be written as the other text has it."""


class _Edit(NamedTuple):
    """Offsets from and to, and what stands between them then."""

    start: int
    end: int
    text: str


def restored(text: str, ours: str, meant: Meant, *, kinds: bool = True) -> str | None:
    """The text with what is meant as another text has it; None where one of them is no JSON5.

    What is absent is added. An object that names another kind of thing is written whole, or without `kinds` left. Items
    of lists are the same when they have one name, or else one place. An instance name that the other text does not give
    becomes empty, also that of the one item of a list which is empty there.
    """
    try:
        here, there = _Text(text), _Text(ours)
    except ConfigError:
        return None
    made, end = [], 0
    for edit in sorted(_Edits(here, there, meant, kinds=kinds).of(here.root, there.root)):
        made += [text[end : edit.start], edit.text]
        end = edit.end
    return "".join([*made, text[end:]])


class _Text:
    """A text and its values. Raises ConfigError for no JSON5."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.root = parse(text, "").root
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def start(self, place: Place) -> int:
        """The offset of a place."""
        return self._starts[place.line - 1] + place.column - 1

    def end(self, value: Value) -> int:
        """The offset behind a value."""
        return end_of_value(self.text, self.start(value.place))

    def written(self, value: Value, name: Name | None = None) -> str:
        """The value as it stands there, with its key."""
        return self.text[self.start(name.place if name else value.place) : self.end(value)]

    def margin(self, place: Place) -> str:
        """What stands before a thing that is put beside the one at this place: a line end and blanks, or a blank."""
        before = self.text[self._starts[place.line - 1] : self.start(place)]
        return " " if before.strip() or place.line == 1 else f"\n{before}"


class _Edits:
    """What makes one text of another, as `restored` says."""

    def __init__(self, here: _Text, there: _Text, meant: Meant, *, kinds: bool) -> None:
        self._here = here
        self._there = there
        self._meant = meant
        self._kinds = kinds

    def of(self, mine: Value, theirs: Value) -> Iterator[_Edit]:
        """The edits of a value, and of all inside it."""
        if isinstance(mine.content, Object) and isinstance(theirs.content, Object):
            yield from self._of_objects(mine, theirs)
        elif isinstance(mine.content, tuple) and isinstance(theirs.content, tuple):
            yield from self._of_lists(mine, theirs)
        elif mine.content != theirs.content and self._touches(theirs, mine.place.path):
            yield self._written(mine, self._there.written(theirs))

    def _of_objects(self, mine: Value, theirs: Value) -> Iterator[_Edit]:
        path = mine.place.path
        lacking = [
            (name, value)
            for name, value in theirs.pairs
            if mine.get(name.text) is None and self._touches(value, under(path, name.text))
        ]
        is_other = _is_choice(theirs) and any(theirs.get(name.text) is None for name, _ in mine.pairs)
        if lacking and is_other:
            if self._kinds:
                yield self._written(mine, self._there.written(theirs))
            return
        if lacking:
            margin = self._here.margin(mine.pairs[0][0].place) if mine.pairs else " "
            at = self._here.start(mine.place) + 1
            made = ",".join(margin + self._there.written(value, name) for name, value in lacking)
            yield _Edit(at, at, made + ("," if mine.pairs else " "))
        for name, value in mine.pairs:
            other = theirs.get(name.text)
            if other is not None:
                yield from self.of(value, other)
            elif name.text == _INSTANCE:
                yield from self._nameless(value)

    def _nameless(self, instance: Value) -> Iterator[_Edit]:
        if instance.content and self._meant(instance.place.path):
            yield self._written(instance, '""')

    def _of_lists(self, mine: Value, theirs: Value) -> Iterator[_Edit]:
        if not theirs.items and len(mine.items) == 1 and (instance := mine.items[0].get(_INSTANCE)) is not None:
            yield from self._nameless(instance)
        known = {_key(item, number): item for number, item in enumerate(mine.items)}
        lacking = []
        for number, item in enumerate(theirs.items):
            same = known.get(_key(item, number))
            if same is not None:
                yield from self.of(same, item)
            elif self._touches(item, f"{mine.place.path}[{number}]"):
                lacking.append(self._there.written(item))
        if lacking:
            last = mine.items[-1] if mine.items else None
            margin = self._here.margin(last.place) if last else " "
            at = self._here.end(last) if last else self._here.start(mine.place) + 1
            yield _Edit(at, at, ("," if last else "") + ",".join(margin + item for item in lacking))

    def _written(self, value: Value, text: str) -> _Edit:
        return _Edit(self._here.start(value.place), self._here.end(value), text)

    def _touches(self, value: Value, path: str) -> bool:
        """Whether it, or something in it, is meant, if it stood at this path."""
        return any(self._meant(path + one.place.path.removeprefix(value.place.path)) for one in values(value))


def _key(item: Value, number: int) -> str | int:
    name = item.get(_NAME)
    return name.content if name is not None and isinstance(name.content, str) else number


def _is_choice(value: Value) -> bool:
    """Whether an object says what kind of thing it is by its one key, as stores do beside their name."""
    return sum(name.text != _NAME for name, _ in value.pairs) == 1

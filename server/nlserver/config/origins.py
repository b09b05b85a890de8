"""Where decoded Specs stand in their file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nlserver.spec import Place, Spec


@dataclass(frozen=True)
class _Origin:
    # Kept so that the identity that leads here is not given to another object.
    spec: Spec
    place: Place
    keys: Mapping[str, Place]
    wrong: frozenset[str]


@dataclass(frozen=True)
class Origins:
    """Places of Specs, by identity: equal Specs stand at different places."""

    _table: dict[int, _Origin] = field(default_factory=dict)

    def record(self, spec: Spec, place: Place, keys: Mapping[str, Place], wrong: Iterable[str] = ()) -> None:
        """A Spec was decoded from the object at `place`.

        `keys` has the fields that the file says, `wrong` those of them that have their default in place of what it
        says.
        """
        self._table[id(spec)] = _Origin(spec, place, keys, frozenset(wrong))

    def moved(self, old: Spec, new: Spec) -> None:
        """`new` stands for `old` from now on."""
        if (origin := self._table.get(id(old))) is not None:
            self.record(new, origin.place, origin.keys, origin.wrong)

    def place(self, spec: Spec, key: str = "") -> Place:
        """Where a field's value stands, or the object itself when the file does not say the field."""
        origin = self._table.get(id(spec))
        if origin is None:
            return Place("", 0, 0)
        return origin.keys.get(key, origin.place)

    def says(self, spec: Spec, key: str) -> bool:
        """Whether the file says this field of this object."""
        origin = self._table.get(id(spec))
        return origin is not None and key in origin.keys

    def wrong(self, spec: Spec, key: str) -> bool:
        """Whether what the file says of this field could not be decoded."""
        origin = self._table.get(id(spec))
        return origin is not None and key in origin.wrong

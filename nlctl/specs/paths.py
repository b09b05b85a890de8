"""Config paths, from the root of a file to a key: `stores.fast_slow.fast.filesystem.content_path`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nlserver.cluster import Config
from nlserver.config import shape
from nlserver.config.problem import nearest
from nlserver.config.shape import Slot
from nlserver.spec import Spec

from nlctl.specs import words

_PART: Final = re.compile(r'\["(?P<quoted>[^"]*)"\]|\[[^\]"]*\]|(?P<plain>[^.\[\]]+)|\.')


@dataclass(frozen=True)
class Stop:
    """Where a path leads: a key of an object, or a kind; `spec` is what stands there, None for a plain value."""

    path: str
    slot: Slot | None
    spec: type[Spec] | None


class NoSuchPath(Exception):
    """A part of a path leads nowhere: which one, what there is instead, and which of these was meant."""

    def __init__(self, part: str, known: Sequence[str], meant: str | None) -> None:
        super().__init__(part)
        self.part = part
        self.known = list(known)
        self.meant = meant


def parts(path: str) -> list[str]:
    """The keys of a path; positions in lists do not count."""
    found = (match["quoted"] or match["plain"] for match in _PART.finditer(path))
    return [part for part in found if part]


def follow(path: str) -> Stop:
    """Where a path from the root leads. Raises NoSuchPath."""
    at = Stop("", None, Config)
    rest = parts(path)
    while rest:
        if at.slot is not None and words.is_map(at.slot.hint) and (at.spec is None or not _steps(at.spec, rest[0])):
            at = Stop(f"{at.path}.{rest.pop(0)}", None, at.spec)
            continue
        at = _step(at, rest.pop(0))
    return at


def _step(at: Stop, part: str) -> Stop:
    here = steps(at.spec) if at.spec is not None else {}
    if part not in here:
        raise NoSuchPath(part, list(here), nearest(part, here))
    taken = here[part]
    path = f"{at.path}.{part}" if at.path else part
    if isinstance(taken, Slot):
        return Stop(path, taken, words.spec_of(taken.hint))
    return Stop(path, None, taken)


def _steps(cls: type[Spec], part: str) -> bool:
    return part in steps(cls)


def steps(cls: type[Spec]) -> dict[str, Slot | type[Spec]]:
    """What may follow: the keys of an object, or the kinds of a union; both where a kind stands among the keys."""
    if shape.union(cls) is cls:
        return {name: kind for name in shape.kind_names(cls) if (kind := shape.kind(cls, name))}
    found: dict[str, Slot | type[Spec]] = dict(shape.keys(cls))
    if (slot := shape.beside(cls)) is not None and (union := words.spec_of(slot.hint)):
        found |= steps(union)
    if cls.chosen_by and cls.chosen_by not in found:
        for variant in shape.variants(cls).values():
            found |= shape.keys(variant)
    return found


def every(cls: type[Spec] = Config, path: str = "", above: tuple[type[Spec], ...] = ()) -> Iterator[Stop]:
    """Every key of every kind, parents first; stores within stores are not gone into again."""
    for name, taken in steps(cls).items():
        here = f"{path}.{name}" if path else name
        slot = taken if isinstance(taken, Slot) else None
        spec = words.spec_of(taken.hint) if isinstance(taken, Slot) else taken
        yield Stop(here, slot, spec)
        if spec is not None and spec not in above:
            yield from every(spec, here, (*above, spec, shape.union(spec) or spec))


def ending(path: str) -> list[Stop]:
    """The keys whose paths end so, each class's key once."""
    wanted = parts(path)
    found: dict[tuple[object, ...], Stop] = {}
    for stop in every():
        if parts(stop.path)[-len(wanted) :] == wanted:
            declared = (stop.slot.owner, stop.slot.field) if stop.slot is not None else (stop.spec,)
            found.setdefault(declared, stop)
    return list(found.values())

"""A YAML file as values that know where they stand. Pure: it resolves no tag, and what it reads becomes no object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nlserver.spec import Place

if TYPE_CHECKING:
    import yaml

_DEEPEST_MERGE: Final = 8


@dataclass(frozen=True)
class Node:
    """A mapping, a list or a text of a YAML file."""

    file: str
    lines: tuple[str, ...]
    node: Any

    @property
    def text(self) -> str:
        """What a scalar says; "" of anything else."""
        return str(self.node.value) if self.node.id == "scalar" else ""

    @property
    def place(self) -> Place:
        """Where it begins."""
        mark = self.node.start_mark
        return Place("", mark.line + 1, mark.column + 1, self.file)

    @property
    def excerpt(self) -> str:
        """The line in which it begins."""
        number = self.node.start_mark.line
        return self.lines[number] if number < len(self.lines) else ""

    @property
    def items(self) -> list[Node]:
        """The values of a list; none of anything else."""
        return [self.other(one) for one in self.node.value] if self.node.id == "sequence" else []

    @property
    def pairs(self) -> list[tuple[Node, Node]]:
        """Keys and values of a mapping, those merged into it (`<<`) behind its own; none of anything else."""
        return list(_pairs(self, _DEEPEST_MERGE)) if self.node.id == "mapping" else []

    def get(self, *names: str) -> Node | None:
        """The value behind these keys, one in the other."""
        here: Node | None = self
        for name in names:
            here = next((value for key, value in here.pairs if key.text == name), None) if here else None
        return here

    def said(self, *names: str) -> str:
        """The text behind these keys, "" where there is none."""
        found = self.get(*names)
        return found.text if found else ""

    def listed(self, *names: str) -> list[Node]:
        """The list behind these keys, empty where there is none."""
        found = self.get(*names)
        return found.items if found else []

    def words(self) -> list[str]:
        """A command: its texts, from a list or from one line."""
        return [one.text for one in self.items] or self.text.split()

    def other(self, node: Any) -> Node:
        """Another value of the same file."""
        return Node(self.file, self.lines, node)


def _pairs(of: Node, depth: int) -> Iterator[tuple[Node, Node]]:
    merged: list[Node] = []
    for key, value in of.node.value:
        if key.value == "<<" and depth:
            inner = of.other(value)
            merged += inner.items or [inner]
        else:
            yield of.other(key), of.other(value)
    for one in merged:
        if one.node.id == "mapping":
            yield from _pairs(one, depth - 1)


class Unreadable(Exception):
    """It is no YAML; `place` says from where on."""

    def __init__(self, reason: str, place: Place) -> None:
        super().__init__(reason)
        self.place = place


def documents(name: str, text: str) -> list[Node]:
    """The documents of a YAML file. Raises Unreadable."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    lines = tuple(text.splitlines())
    try:
        return [Node(name, lines, one) for one in yaml.compose_all(text, Loader=loader) if one is not None]
    except yaml.YAMLError as error:
        raise Unreadable(_reason(error), _place(name, error)) from error


def _reason(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or "it cannot be read as YAML")


def _place(name: str, error: yaml.YAMLError) -> Place:
    mark = getattr(error, "problem_mark", None)
    return Place("", mark.line + 1, mark.column + 1, name) if mark else Place("", 1, 1, name)

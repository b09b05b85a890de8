"""A rule: its id and words, and the function that looks for what it is about. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from nlserver.spec import Place, Spec

from nlctl.lint.finding import Edit, Finding, Severity, token_length
from nlctl.lint.scene import File, Scene

RULES: Final[dict[str, Rule]] = {}
"""Every rule by its id, in the order of the modules in `rules/`."""
Look = Callable[["Rule", Scene], Iterator[Finding]]


class Marked(Protocol):
    """Something of a file that knows where it stands and how the file writes it there."""

    @property
    def place(self) -> Place:
        """Where it stands."""

    @property
    def excerpt(self) -> str:
        """The lines there, with a mark."""


@dataclass(frozen=True)
class Rule:
    """`title` names the mistake, `why` says what comes of it; a finding may say either more exactly.

    `nlx` is the id of the mistake in the catalogue of defects of configs for NativeLink, "" where it has none.
    """

    id: str
    severity: Severity
    title: str
    why: str
    look: Look
    nlx: str = ""

    def __call__(self, scene: Scene) -> Iterator[Finding]:
        """Everything in this scene that the rule is about."""
        return self.look(self, scene)

    def at(
        self, file: File, spec: Spec, key: str, what: str, fix: str, *, why: str = "", edits: tuple[Edit, ...] = ()
    ) -> Finding:
        """A finding at a field of a Spec, or at the object itself when the file does not say the field."""
        place = file.config.place(spec, key)
        return self.here(place, file.config.source.document.excerpt(place), what, fix, why=why, edits=edits)

    def on(self, marked: Marked, what: str, fix: str) -> Finding:
        """A finding at something that knows its place."""
        return self.here(marked.place, marked.excerpt, what, fix)

    def here(
        self, place: Place, excerpt: str, what: str, fix: str, *, why: str = "", edits: tuple[Edit, ...] = ()
    ) -> Finding:
        """A finding at a place of any file."""
        return Finding(self.id, self.severity, place, what, why or self.why, fix, excerpt, edits, self.nlx)


def rule(id_: str, severity: Severity, title: str, why: str, *, nlx: str = "") -> Callable[[Look], Rule]:
    """Make a rule of a function and add it to the others."""

    def made(look: Look) -> Rule:
        assert id_ not in RULES, id_
        RULES[id_] = Rule(id_, severity, title, why, look, nlx)
        return RULES[id_]

    return made


def as_severe(finding: Finding, severity: Severity) -> Finding:
    """The same finding, more or less bad."""
    return replace(finding, severity=severity)


def instead(file: File, spec: Spec, key: str, text: str) -> tuple[Edit, ...]:
    """The edit that writes this for a field that the file says; none for one that it does not."""
    value = file.says(spec, key)
    if value is None:
        return ()
    place = value.place
    length = token_length(file.config.source.document.excerpt(place), place.column)
    return (Edit(place.file, place.line, place.column, length, text),)

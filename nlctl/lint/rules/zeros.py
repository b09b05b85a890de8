"""Values that mean something else than they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING
from typing import Any, Final, get_args

from nlserver.config import shape
from nlserver.config.shape import Slot
from nlserver.spec import Grammar

from nlctl.lint.finding import Finding, Severity
from nlctl.lint.rule import Rule, instead, rule
from nlctl.lint.scene import File, Scene

_PARTS: Final = re.compile(r"\d\s*(?:ms|msec|millis|us|µs|usec|micros|ns|nsec|nanos)\b|\.\d+\s*s(?:ec(?:ond)?s?)?\b")


@rule(
    "NL-CFG-115",
    Severity.WARNING,
    "a zero that means the default",
    "NativeLink takes 0 for the default here, so it turns nothing off",
    nlx="NLX016",
)
def zero_is_default(self: Rule, scene: Scene) -> Iterator[Finding]:
    """An explicit 0 where 0 stands for another number."""
    for file, spec, slot, value in _said(scene):
        if slot.key.zero in (MISSING, None, 0) or isinstance(value, bool) or value not in (0, "0"):
            continue
        meant = json.dumps(slot.key.zero)
        edits = instead(file, spec, slot.field, meant)
        what, fix = f"{slot.name}: 0 means {meant} here", f"leave it out, or write {slot.name}: {meant}"
        yield self.at(file, spec, slot.field, what, fix, edits=edits)


@rule(
    "NL-CFG-116",
    Severity.WARNING,
    "parts of a second that are dropped",
    "durations are whole seconds: what is less is dropped, and a 0 that is left means the default",
)
def dropped_parts(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Durations as texts with parts of a second, and texts where milliseconds are counted."""
    for file, spec, slot, value in _said(scene):
        if not isinstance(value, str) or "$" in value or Grammar.DURATION not in get_args(slot.hint):
            continue
        if slot.name.endswith("_ms"):
            what = f"{slot.name} takes the whole seconds of {value!r} for milliseconds"
            yield self.at(file, spec, slot.field, what, "write an integer of milliseconds")
        elif _PARTS.search(value):
            what = f"{value!r} is read as {getattr(spec, slot.field)} s"
            yield self.at(file, spec, slot.field, what, 'write whole seconds: "1s"')


def _said(scene: Scene) -> Iterator[tuple[File, Any, Slot, Any]]:
    """Every field that a file says with a scalar, and what it says."""
    for file, spec in scene.specs():
        for slot in shape.slots(type(spec)):
            value = file.says(spec, slot.field)
            if value is not None and isinstance(value.content, int | float | str):
                yield file, spec, slot, value.content

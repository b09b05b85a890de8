"""The kinds of changes, one a file, and their way into a journal and back."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any, cast

from nlctl.doctor.change import Change


@cache
def every() -> dict[str, type[Any]]:
    """Every kind by the name of its file."""
    return {one.name: importlib.import_module(f"{__name__}.{one.name}").KIND for one in pkgutil.iter_modules(__path__)}


def document(change: Change) -> dict[str, Any]:
    """The change as a journal keeps it."""
    return {"kind": change.kind, **asdict(cast("Any", change))}


def of_document(values: Mapping[str, Any]) -> Change:
    """The change that a journal kept."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    made: Change = every()[str(fields.pop("kind"))](**fields)
    return made

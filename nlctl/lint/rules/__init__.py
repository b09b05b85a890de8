"""The rules, by what they look at. A module that stands here is found by itself."""

from __future__ import annotations

import importlib
import pkgutil

from nlctl.lint.rule import RULES, Rule


def every() -> list[Rule]:
    """All rules, by id."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return [RULES[id_] for id_ in sorted(RULES)]

"""The faults, a file for each area. A module that stands here is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from functools import cache

from nlctl.lab.injection import Injection


@cache
def every() -> dict[str, Injection]:
    """All faults by their names, area by area."""
    found: list[Injection] = []
    for module in pkgutil.iter_modules(__path__):
        declared = importlib.import_module(f"{__name__}.{module.name}").FAULTS
        found += [replace(one, area=module.name) for one in declared]
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}

"""The checks, a file for each area. A module that stands here is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from nlctl.doctor.check import AREAS, Check


@cache
def every() -> dict[str, Check]:
    """All checks by their ids, area by area."""
    found: list[Check] = []
    for module in pkgutil.iter_modules(__path__):
        found += importlib.import_module(f"{__name__}.{module.name}").CHECKS
    found.sort(key=lambda one: (AREAS.index(one.area), one.id))
    assert len({one.id for one in found}) == len(found)
    return {one.id: one for one in found}

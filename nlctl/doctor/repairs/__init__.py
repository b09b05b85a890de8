"""The repairs, one a file: the file's name is the repair's. A module that stands here is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from nlctl.doctor.repair import Repair


@cache
def every() -> dict[str, Repair]:
    """All repairs by their names."""
    return {
        one.name: importlib.import_module(f"{__name__}.{one.name}").REPAIR for one in pkgutil.iter_modules(__path__)
    }

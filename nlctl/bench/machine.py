"""What figures depend on besides the servers: the machine, its load, and the versions of what calls."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from nlctl import VERSION


def facts() -> dict[str, Any]:
    """The machine as documents show it."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "nlctl": VERSION,
        "load_before": os.getloadavg()[0],
    }


def _processor() -> str | None:
    with suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.machine() or None

"""Where this user's files are (XDG Base Directory Specification)."""

from __future__ import annotations

import os
from collections.abc import Mapping


def state(environment: Mapping[str, str]) -> str:
    """`$XDG_STATE_HOME/nlctl`: clusters, recent commands, saved results."""
    return _nlctl(environment.get("XDG_STATE_HOME"), environment, ".local", "state")


def config(environment: Mapping[str, str]) -> str:
    """`$XDG_CONFIG_HOME/nlctl`: contexts and settings."""
    return _nlctl(environment.get("XDG_CONFIG_HOME"), environment, ".config")


def _nlctl(base: str | None, environment: Mapping[str, str], *below_home: str) -> str:
    base = base or os.path.join(environment.get("HOME") or "/", *below_home)
    return os.path.join(os.path.abspath(base), "nlctl")

"""References to environment variables inside texts: `$NAME`, `${NAME}`, `${NAME:-default}`, `$$`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_REFERENCE: Final = re.compile(r"\$(?:(?P<dollar>\$)|(?P<name>\w+)|\{(?P<braced>[^}]*)\})")


class UnsetError(ValueError):
    """A text refers to a variable that is not set, and gives no default."""

    def __init__(self, name: str) -> None:
        super().__init__(f'environment variable "{name}" is not set: set it, or write a default as in ${{{name}:-...}}')
        self.name = name


def expand(text: str, environment: Mapping[str, str]) -> str:
    """The text with its references replaced (NativeLink behaviour: the shellexpand crate without tilde).

    A default is used only when the variable is unset, not when it is empty; references do not nest, and what comes
    out is not expanded again. Any other `$` stands for itself. Raises UnsetError.
    """

    def value(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["name"] is not None:
            return _value(match["name"], None, environment)
        name, separator, default = match["braced"].partition(":-")
        if not name:
            return _value(match["braced"], None, environment)
        return _value(name, default if separator else None, environment)

    return _REFERENCE.sub(value, text) if "$" in text else text


def _value(name: str, default: str | None, environment: Mapping[str, str]) -> str:
    found = environment.get(name, default)
    if found is None:
        raise UnsetError(name)
    return found

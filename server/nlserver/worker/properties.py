"""What a worker offers: its platform properties, some of them asked of a command at every registration."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from nlserver.errors import Code, Error
from nlserver.spec import Spec, Text

Ask = Callable[[Sequence[str]], Awaitable[str]]
"""Runs a command and returns its standard output; raises Error when it fails."""


@dataclass(frozen=True, kw_only=True)
class PropertySpec(Spec):
    """A platform property that the worker offers; exactly one key."""

    values: tuple[Text, ...] | None = None
    """The values, each a text (`["16"]`, not `[16]`)."""
    query_cmd: str | None = None
    """A command that prints the values, one a line. It is split like a shell does but no shell runs it; it sees only
    the `value` and `from_environment` variables of `additional_environment`. It runs at every registration; while it
    fails the worker does not register."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """Exactly one key, and a command that can be split."""
        if (values.values is None) == (values.query_cmd is None):
            return ["exactly one of 'values' and 'query_cmd' must be given"]
        return [] if values.query_cmd is None else split_problems(values.query_cmd)


def split_problems(command: str) -> list[str]:
    """What is wrong with a command that is to be split like a shell does."""
    try:
        return [] if shlex.split(command) else ["the command is empty"]
    except ValueError as error:
        return [f"the command cannot be split into words: {error}"]


async def offered(properties: Mapping[str, PropertySpec], ask: Ask) -> list[tuple[str, str]]:
    """Each name with each of its values, in the config's order. Raises Error naming the property that failed."""
    found: list[tuple[str, str]] = []
    for name, spec in properties.items():
        found += [(name, value) for value in await _values(name, spec, ask)]
    return found


async def _values(name: str, spec: PropertySpec, ask: Ask) -> Sequence[str]:
    if spec.query_cmd is None:
        return spec.values or ()
    try:
        printed = await ask(shlex.split(spec.query_cmd))
    except Error as error:
        raise Error(
            Code.FAILED_PRECONDITION,
            f"platform property {name!r} is unknown: {error}",
            where=f"platform_properties.{name}.query_cmd",
            remedy="Correct the command, or state the property with 'values'.",
        ) from error
    return [line.strip() for line in printed.splitlines()]

"""The variables a worker adds to every action: where each comes from, and what it is worth. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from nlserver.spec import Spec, Text

EnvironmentWord = Literal["from_environment", "timeout_millis", "side_channel_file", "action_directory"]


@dataclass(frozen=True, kw_only=True)
class EnvironmentSpec(Spec):
    """Where the value of a variable in `additional_environment` comes from; exactly one key.

    Instead of an object one of these words may stand: `"from_environment"`: the variable of the same name in the
    worker's own environment, empty when unset. `"timeout_millis"`: the action's time limit in milliseconds, the
    worker's `max_action_timeout_s` when the action has none. `"side_channel_file"`: the path of a file that does not
    exist yet; when it holds JSON5 `{failure: "timeout"}` after the action has ended, the action counts as timed out.
    `"action_directory"`: a directory of this action alone, deleted after it.
    """

    property: str | None = None
    """The action's platform property of this name; empty when the action has none."""
    value: Text | None = None
    """This text."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """Exactly one key is allowed."""
        if (values.property is None) == (values.value is None):
            return ["exactly one of 'property' and 'value' must be given"]
        return []


EnvironmentSource = EnvironmentWord | EnvironmentSpec


@dataclass(frozen=True)
class Facts:
    """What the sources may refer to while one action runs."""

    properties: Mapping[str, str]
    timeout_seconds: float
    side_channel_file: str
    action_directory: str


def for_action(sources: Mapping[str, EnvironmentSource], own: Mapping[str, str], facts: Facts) -> dict[str, str]:
    """Every additional variable; `own` is the worker's own environment."""
    return {name: _value(name, source, own, facts) for name, source in sources.items()}


def _value(name: str, source: EnvironmentSource, own: Mapping[str, str], facts: Facts) -> str:
    match source:
        case "from_environment":
            return own.get(name, "")
        case "timeout_millis":
            return str(int(facts.timeout_seconds * 1000))
        case "side_channel_file":
            return facts.side_channel_file
        case "action_directory":
            return facts.action_directory
        case _ if source.value is not None:
            return source.value
        case _:
            return facts.properties.get(source.property or "", "")


def for_queries(sources: Mapping[str, EnvironmentSource], own: Mapping[str, str]) -> dict[str, str]:
    """The variables that make sense without an action: those with a `value` or `"from_environment"`."""
    found: dict[str, str] = {}
    for name, source in sources.items():
        if source == "from_environment":
            found[name] = own.get(name, "")
        elif isinstance(source, EnvironmentSpec) and source.value is not None:
            found[name] = source.value
    return found


def for_precondition(
    sources: Mapping[str, EnvironmentSource], own: Mapping[str, str], properties: Mapping[str, str]
) -> dict[str, str]:
    """As `for_queries`, and the platform properties."""
    found = for_queries(sources, own)
    for name, source in sources.items():
        if isinstance(source, EnvironmentSpec) and source.property is not None:
            found[name] = properties.get(source.property, "")
    return found

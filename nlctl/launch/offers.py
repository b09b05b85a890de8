"""Platform properties that workers offer beside those of the template, and their place in the configs. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from nlctl.faults import USAGE, Fault, fix
from nlctl.launch.wish import AIM, Member, rendered

Offers = Mapping[str, Sequence[str]]
"""The values of properties by name."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_OFFERED: Final = re.compile(r"^( *)platform_properties: \{\n", re.MULTILINE)
_ANNOUNCED: Final = re.compile(r"^( *)supported_platform_properties: \{\n", re.MULTILINE)


def offers(words: Sequence[str]) -> dict[str, list[str]]:
    """What `--property NAME=VALUE` words say; a name may have several values. Raises Fault USAGE."""
    found: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if (
            not equals
            or not _NAME.fullmatch(name)
            or any(char in value for char in "\"'\\$")
            or not value.isprintable()
        ):
            written = fix("write NAME=VALUE, without quotes, backslashes and dollar signs")
            raise Fault(USAGE, f"--property {word!r} cannot be", fixes=[written])
        if name == AIM:
            raise Fault(USAGE, f"{AIM} is each worker's own name", fixes=[fix("choose another property")])
        found.setdefault(name, []).append(value)
    return found


def config_text(member: Member, template: str) -> str:
    """The config of a member: its template with its values, what it offers and what it knows. Raises Fault USAGE."""
    text = rendered(template, member.values)
    if member.offers:
        text = _offering(text, member.offers)
    return _knowing(text, member.knows) if member.knows else text


def _offering(text: str, more: Offers) -> str:
    """A worker's config in which these stand in the place of what the template says of the same names."""
    opening, indent = _block(text, _OFFERED)
    body = text[opening:]
    for name in more:
        body = re.sub(rf'^{indent}"?{re.escape(name)}"?: .*\n', "", body, count=1, flags=re.MULTILINE)
    lines = (
        f"{indent}{json.dumps(name)}: {{ values: {json.dumps(list(values))} }},\n" for name, values in more.items()
    )
    return text[:opening] + "".join(lines) + body


def _knowing(text: str, names: Collection[str]) -> str:
    """A scheduler's config that compares these, too: a worker must have the very value. Those that it knows stay."""
    opening, indent = _block(text, _ANNOUNCED)
    known = [name for name in names if re.search(rf'^{indent}"?{re.escape(name)}"?: ', text[opening:], re.MULTILINE)]
    lines = (f'{indent}{json.dumps(name)}: "exact",\n' for name in names if name not in known)
    return text[:opening] + "".join(lines) + text[opening:]


def _block(text: str, pattern: re.Pattern[str]) -> tuple[int, str]:
    """Where the lines of a block begin, and how far they are indented."""
    match = pattern.search(text)
    assert match is not None, "the template has such a block"
    return match.end(), f"{match[1]}  "

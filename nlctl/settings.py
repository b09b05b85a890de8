"""NAME=VALUE words of a command line, and options that take one of a few. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from nlctl.faults import USAGE, Fault, fix


def pairs(words: Sequence[str], flag: str = "") -> dict[str, str]:
    """These words as a mapping; of a name that comes twice the last value counts. Raises Fault USAGE.

    `flag` is the option that they are values of, for the message.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            written = f"{flag} NAME=VALUE".strip()
            raise Fault(USAGE, f"{flag} {word!r} is not NAME=VALUE".strip(), fixes=[fix(f"write {written}")])
        found[name] = value
    return found


def choice(flag: str, value: str, known: Sequence[str]) -> str:
    """The value of an option that takes one of these. Raises Fault USAGE."""
    if value not in known:
        raise Fault(USAGE, f"{flag} {value!r} cannot be", fixes=[fix(f"choose one of {', '.join(known)}")])
    return value

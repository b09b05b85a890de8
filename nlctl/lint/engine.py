"""What the engine itself says of a config, as findings: whether it can be read, decoded and started. Pure."""

from __future__ import annotations

import re
from typing import Final

from nlserver.config.problem import Problem, Sort

from nlctl.lint.finding import Edit, Finding, Severity, token_length

_BARE: Final = re.compile(r"[A-Za-z_$][\w$]*")

IDS: Final[dict[Sort, tuple[str, str, str]]] = {
    Sort.SYNTAX: (
        "NL-CFG-103",
        "it cannot be read as JSON5, so nothing else in it was judged",
        "mend the marked place",
    ),
    Sort.UNKNOWN: (
        "NL-CFG-104",
        "the server stops on a key that it does not know",
        "take it out, or write a known one",
    ),
    Sort.MISSING: ("NL-CFG-105", "there is no default for it", "write it"),
    Sort.VALUE: ("NL-CFG-106", "the server stops on a value that a key does not take", "write what it takes"),
    Sort.VARIABLE: ("NL-CFG-107", "references are replaced when the file is read", "set it, or write ${NAME:-default}"),
    Sort.NAME: ("NL-CFG-109", "the server stops at start when a name leads nowhere", "define it, or name another"),
    Sort.TOGETHER: ("NL-CFG-110", "each may be right by itself; together they cannot be", "change one of them"),
    Sort.OLD_SHAPE: (
        "NL-CFG-111",
        "it is still read, with a warning at every start",
        "nlctl config migrate writes today's",
    ),
    Sort.UNAVAILABLE: ("NL-CFG-112", "NativeLink has it, and nlserver does not yet", "take it out"),
}
"""Id, reason and remedy of each sort of problem."""


def finding(problem: Problem) -> Finding:
    """The finding that a problem of the engine is. Misspelt keys come with the edit that writes the right one."""
    id_, why, fix = IDS[problem.sort]
    path = f"{problem.place.path}: " if problem.place.path else ""
    if problem.nearest:
        fix = f'did you mean "{problem.nearest}"?'
    reason = problem.reason
    if problem.sort is Sort.UNAVAILABLE:
        reason, _, instead = reason.partition(". ")
        fix = instead or fix
    severity = Severity.ERROR if problem.fatal else Severity.WARNING
    return Finding(id_, severity, problem.place, f"{path}{reason}", why, fix, problem.excerpt, _edits(problem))


def _edits(problem: Problem) -> tuple[Edit, ...]:
    if problem.sort is not Sort.UNKNOWN or not problem.nearest or not problem.fatal or "kind" in problem.reason:
        return ()
    place = problem.place
    written = token_length(problem.excerpt, place.column)
    right = problem.nearest if _BARE.fullmatch(problem.nearest) else f'"{problem.nearest}"'
    return (Edit(place.file, place.line, place.column, written, right),)

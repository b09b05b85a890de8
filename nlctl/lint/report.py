"""Findings as a compiler shows them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from nlctl.lint.finding import Finding, Severity

_WIDEST: Final = 110
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


def shown(finding: Finding, emphasis: Callable[[str], str] = str) -> list[str]:
    """The lines of one finding: where, how bad, what; the source with a mark; why; and what to write."""
    place = finding.place
    where = f"{place.file}:{place.line}:{place.column}" if place.line else place.file
    level = "warn" if finding.severity is Severity.WARNING else str(finding.severity)
    lines = [f"{safe(where)}  {emphasis(f'{level}[{finding.id}]')}  {safe(finding.what)}"]
    if place.line and finding.excerpt:
        lines += _source(finding)
    return [*lines, f"   why  {safe(finding.why)}", f"   fix  {safe(finding.fix)}"]


def _source(finding: Finding) -> list[str]:
    line, column = finding.excerpt, finding.place.column
    start = 0 if len(line) <= _WIDEST else min(max(0, column - 1 - _WIDEST // 2), len(line) - _WIDEST)
    part = line[start : start + _WIDEST]
    width = max(1, min(finding.length, len(part) - (column - 1 - start)))
    number = f"{finding.place.line:>5}"
    return [f"{number} | {safe(part)}", f"{'':>5} | {' ' * (column - 1 - start)}{'^' * width}"]


def tally(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 warning`; empty when there is nothing to count."""
    counts = [(sum(one.severity is kind for one in findings), kind) for kind in (Severity.ERROR, Severity.WARNING)]
    return ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for count, kind in counts if count)


def safe(text: str) -> str:
    """Text from a file without what a terminal would obey."""
    return _UNSAFE.sub(lambda match: " " if match[0] == "\t" else "\N{MIDDLE DOT}", text)

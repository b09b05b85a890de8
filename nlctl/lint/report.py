"""Findings as a compiler shows them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from nlctl.lint.finding import Finding, Severity

_WIDEST: Final = 110
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


def shown(finding: Finding, emphasis: Callable[[str], str] = str) -> list[str]:
    """The lines of one finding: where, how bad, what; the source with a mark; why; and what to write."""
    place = finding.place
    level = "warn" if finding.severity is Severity.WARNING else str(finding.severity)
    lines = [f"{safe(_where(finding))}  {emphasis(f'{level}[{finding.id}]')}  {safe(finding.what)}"]
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


def row(finding: Finding) -> dict[str, Any]:
    """A finding of a rule as documents show it."""
    return {"place": _where(finding), "nlx": finding.nlx or None, **finding.document()}


def annotation(finding: Finding) -> str:
    """A workflow command of GitHub Actions, which shows the finding beside the line of the file."""
    level = "notice" if finding.severity is Severity.INFO else str(finding.severity)
    place = finding.place
    fields = {"file": place.file, "line": place.line or 1, "col": place.column or 1, "title": finding.id}
    said = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in fields.items())
    return f"::{level} {said}::" + _escaped(f"{finding.what}\nwhy: {finding.why}\nfix: {finding.fix}")


def _escaped(text: str, more: str = "") -> str:
    return "".join(f"%{ord(one):02X}" if one in "%\r\n" + more else one for one in text)


def sarif(findings: Sequence[Finding], titles: Mapping[str, str], version: str) -> dict[str, Any]:
    """All findings as a log of SARIF 2.1.0, which code hosts and editors read. `titles` are those of the rules."""
    ids = sorted({one.id for one in findings})
    rules = [{"id": id_, "shortDescription": {"text": titles.get(id_, id_)}} for id_ in ids]
    driver = {"name": "nlctl", "semanticVersion": version, "rules": rules}
    results = [_result(one, ids.index(one.id)) for one in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}


def _result(finding: Finding, number: int) -> dict[str, Any]:
    place = finding.place
    region = {"startLine": place.line or 1, "startColumn": place.column or 1}
    where = {"artifactLocation": {"uri": quote(place.file)}, "region": region}
    return {
        "ruleId": finding.id,
        "ruleIndex": number,
        "level": "note" if finding.severity is Severity.INFO else str(finding.severity),
        "message": {"text": f"{finding.what}: {finding.why}. Fix: {finding.fix}"},
        "locations": [{"physicalLocation": where}],
        "properties": {"nlx": finding.nlx or None},
    }


def _where(finding: Finding) -> str:
    place = finding.place
    return f"{place.file}:{place.line}:{place.column}" if place.line else place.file


def tally(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 warning`; empty when there is nothing to count."""
    counts = [(sum(one.severity is kind for one in findings), kind) for kind in (Severity.ERROR, Severity.WARNING)]
    return ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for count, kind in counts if count)


def safe(text: str) -> str:
    """Text from a file without what a terminal would obey."""
    return _UNSAFE.sub(lambda match: " " if match[0] == "\t" else "\N{MIDDLE DOT}", text)

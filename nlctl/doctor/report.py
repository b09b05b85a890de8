"""An examination in words, for a terminal, a pipe or a file. Pure."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from nlctl.doctor.check import AREAS
from nlctl.doctor.examination import Outcome
from nlctl.doctor.finding import Finding, Verdict
from nlctl.faults import Fix

_WIDE: Final = 80
_BAD: Final = (Verdict.FAILED, Verdict.WARNING, Verdict.UNKNOWN)
Mark = Callable[[Verdict], str]


def text(outcomes: Sequence[Outcome], mark: Mark, seconds: float, *, verbose: bool) -> str:
    """Area by area in a line or two, then what is bad with evidence and fix, then the count."""
    lines = textwrap.wrap("   ".join(_areas(outcomes, mark)), _WIDE, break_on_hyphens=False)
    shown = [(one, found) for one in outcomes for found in one.findings if verbose or found.verdict in _BAD]
    order = [Verdict.FAILED, Verdict.WARNING, Verdict.UNKNOWN, Verdict.INFO, Verdict.OK, Verdict.SKIPPED]
    for outcome, found in sorted(shown, key=lambda pair: order.index(pair[1].verdict)):
        lines += ["", *finding(outcome, found, mark, verbose=verbose)]
    return "\n".join([*lines, "", summary(outcomes, seconds)])


def finding(outcome: Outcome, found: Finding, mark: Mark, *, verbose: bool) -> Iterable[str]:
    """One finding with why and what to do."""
    head = f"{mark(found.verdict)} {outcome.check.id}  "
    yield from hanging(head, found.what)
    if found.because:
        yield from hanging("  why   ", found.because)
    if verbose or found.verdict in _BAD:
        for number, one in enumerate(found.evidence):
            yield from hanging("  seen  " if number == 0 else "        ", f"{one.name}: {one.value}  ({one.source})")
    for number, remedy in enumerate(found.fixes):
        yield ("  fix   " if number == 0 else "        ") + fix_words(remedy)


def fix_words(one: Fix) -> str:
    """A remedy in a line: the command first."""
    command = shlex.join(one.command)
    return f"{command:<40}  {one.text}" if command and one.text else command or one.text


def summary(outcomes: Sequence[Outcome], seconds: float) -> str:
    """How many of what."""
    count = dict.fromkeys(Verdict, 0)
    for one in outcomes:
        for found in one.findings:
            count[found.verdict] += 1
    words = [
        f"{count[verdict]} {name}{'s' if count[verdict] != 1 and name != 'unknown' else ''}"
        for verdict, name in ((Verdict.FAILED, "failure"), (Verdict.WARNING, "warning"), (Verdict.UNKNOWN, "unknown"))
        if count[verdict]
    ]
    said = ", ".join(words) or "nothing is wrong"
    fixable = sum(bool(found.remedies) and found.verdict in _BAD for one in outcomes for found in one.findings)
    mend = f"; {fixable} may be mended by nlctl doctor --fix" if fixable else ""
    return f"{said}; {len(outcomes)} checks in {seconds:.1f}s{mend}"


def _areas(outcomes: Sequence[Outcome], mark: Mark) -> Iterable[str]:
    for area in AREAS:
        here = [one for one in outcomes if one.check.area == area]
        looked = [one for one in here if one.verdict is not Verdict.SKIPPED]
        if not here:
            continue
        if not looked:
            yield f"{mark(Verdict.SKIPPED)} {area}"
            continue
        good = sum(one.verdict in (Verdict.OK, Verdict.INFO) for one in looked)
        worst = max((one.verdict for one in looked), key=lambda one: one.rank)
        yield f"{mark(worst)} {area} {good}/{len(looked)}".replace(" ", "\u00a0")


def hanging(head: str, words: str) -> list[str]:
    """A paragraph behind a label."""
    return textwrap.wrap(
        words,
        _WIDE,
        initial_indent=head,
        subsequent_indent="        ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def markdown(outcomes: Sequence[Outcome], title: str) -> str:
    """The whole examination as a page."""
    lines = [f"# {title}", "", "| check | verdict | what | evidence | fix |", "|---|---|---|---|---|"]
    for one in outcomes:
        for found in one.findings:
            evidence = "<br>".join(f"{item.name}: {item.value} ({item.source})" for item in found.evidence)
            fixes = "<br>".join(
                f"`{shlex.join(item.command)}` {item.text}".strip() if item.command else item.text
                for item in found.fixes
            )
            what = f"{found.what}{f' ({found.because})' if found.because else ''}"
            cells = [f"{one.check.id} {one.check.title}", str(found.verdict), what, evidence, fixes]
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"

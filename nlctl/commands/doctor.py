"""`nlctl doctor`: what is wrong, the evidence, and the fix."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.session import Session
from nlctl.ui import Column

if TYPE_CHECKING:
    from nlctl.doctor.check import Check
    from nlctl.doctor.examination import Outcome
    from nlctl.doctor.finding import Verdict
    from nlctl.doctor.mending import Ailment
    from nlctl.faults import Fault
    from nlctl.ui import Ui

EPILOG = """\b
Examples:
  nlctl doctor
  nlctl doctor network workers
  nlctl --endpoint grpc://cache.example:9092 doctor
  nlctl doctor --check NLD-SHR-01 -v
  nlctl doctor --watch --every 30s
  nlctl doctor --report doctor.html
  nlctl doctor -o json | jq '.items[] | select(.status == "failed")'
  nlctl doctor --fix --dry-run        what it would change
\b
Exit status: 0 nothing failed, 2 nobody agreed to a repair, 4 nothing could be reached, 5 something failed (with
--strict also warnings), 7 another command changes the cluster
"""
_COLUMNS = (
    Column("ID", "id"),
    Column("STATUS", "status"),
    Column("WHAT", "what"),
)
_LISTED = (
    Column("ID", "id"),
    Column("AREA", "area"),
    Column("LEVEL", "level"),
    Column("TITLE", "title"),
)


def command(
    ctx: typer.Context,
    areas: Annotated[list[str] | None, typer.Argument(help="Only these areas: network, cas, workers, ...")] = None,
    check: Annotated[list[str] | None, typer.Option(help="Only this check, and what it builds on.")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Leave this check or area out.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the checks and run none.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as failures.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again and again; q or Ctrl-C ends it.")] = False,
    every: Annotated[str, typer.Option(help="With --watch: the pause between two looks.")] = "10s",
    report: Annotated[
        Path | None, typer.Option(help="Also write everything into this file: .html or .md.", metavar="FILE")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can safely be mended, after showing it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="With --fix: only show it.")] = False,
    waits: Annotated[str, typer.Option(help="How long an operation may wait for a worker.", metavar="DUR")] = "5m",
    runs: Annotated[str, typer.Option(help="How long one may run.", metavar="DUR")] = "1h",
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Examine a cluster or any server: what is wrong, the evidence, why, and the fix.

    Checks run all at once, and each after what it builds on: one cause gives one failure. Without --fix nothing is
    changed but for probe blobs of random bytes and a random key of the action cache.

    With --fix you see each change and are asked; then it is made, and the checks run again. `nlctl doctor undo` takes
    it back.
    """
    session: Session = ctx.obj
    chosen = _chosen(areas or (), check or (), skip or ())
    if listing:
        rows = [{"id": c.id, "area": c.area, "level": c.level, "title": c.title, "probe": c.probe} for c in chosen]
        session.ui.items("nlctl.doctor.checks/v1", rows, _LISTED)
        return Exit.OK
    if watch and fix:
        raise _not_together()
    patience = seconds(waits), seconds(runs)
    where = session.endpoint or f"context {session.chosen(name)}"
    if report is not None:
        _check_suffix(report)

    def look() -> tuple[list[Outcome], float]:
        begin = time.monotonic()
        found = session.wait_for(_examined(session, chosen, name, patience, tells=not watch))
        if report is not None:
            _keep(report, found, where, time.monotonic() - begin)
        return found, time.monotonic() - begin

    if watch:
        from nlctl.doctor.watching import watch as watching

        outcomes = watching(session.ui, look, lambda verdict: _mark(session.ui, verdict), where, seconds(every))
        return _exit(outcomes, strict=strict)
    outcomes, spent = look()
    if not (fix and session.ui.structured):
        _tell(session, outcomes, where, spent)
    if fix:
        outcomes = _fixed(session, name, outcomes, look, dry_run=dry_run)
    return _exit(outcomes, strict=strict)


def _not_together() -> Fault:
    from nlctl.faults import USAGE, Fault, fix

    return Fault(USAGE, "--watch looks again and again, --fix once", fixes=[fix("leave one of the two out")])


def _check_suffix(path: Path) -> None:
    """Raises Fault USAGE for a file of another kind."""
    from nlctl.faults import USAGE, Fault, fix

    if path.suffix not in (".html", ".md"):
        raise Fault(USAGE, f"{path} is neither .html nor .md", fixes=[fix("write --report FILE.html or FILE.md")])


def _keep(path: Path, outcomes: list[Outcome], where: str, spent: float) -> None:
    from datetime import datetime

    from nlctl.doctor.page import page
    from nlctl.doctor.report import markdown
    from nlctl.faults import UNREADABLE, Fault, fix
    from nlctl.launch.ledger import write

    title = f"Examination of {where}"
    when = f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}"
    text = page(outcomes, title, when, spent) if path.suffix == ".html" else markdown(outcomes, title)
    try:
        write(path, text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Fault(UNREADABLE, f"{path} cannot be written", why=reason, fixes=[fix("check the path")]) from error


def _chosen(areas: list[str] | tuple[str, ...], ids: list[str] | tuple[str, ...], skip: Any) -> list[Check]:
    from nlctl.doctor.check import AREAS
    from nlctl.doctor.checks import every
    from nlctl.doctor.examination import closure
    from nlctl.faults import USAGE, Fault, fix

    known = every()
    for word in (*areas, *ids, *skip):
        if word not in known and word not in AREAS:
            remedy = fix("see what there is", "nlctl", "doctor", "--list")
            raise Fault(USAGE, f"{word!r} is no check and no area", why=f"areas: {', '.join(AREAS)}", fixes=[remedy])
    wanted = [one for one in known.values() if not (areas or ids) or one.area in areas or one.id in (*areas, *ids)]
    return [one for one in closure(wanted, known) if one.id not in skip and one.area not in skip]


async def _examined(
    session: Session, checks: list[Check], name: str, patience: tuple[float, float], *, tells: bool
) -> list[Outcome]:
    from nlctl.doctor.examination import examine
    from nlctl.doctor.site import Patience, opened

    told = 0

    def tell(outcome: Outcome) -> None:
        nonlocal told
        told += 1
        if tells:
            session.ui.waiting(f"{told} of {len(checks)} checks: {outcome.check.title}")

    async with opened(session, name, patience=Patience(*patience)) as site:
        return await examine(site, checks, tell)


def _fixed(
    session: Session,
    name: str,
    outcomes: list[Outcome],
    look: Callable[[], tuple[list[Outcome], float]],
    *,
    dry_run: bool,
) -> list[Outcome]:
    """Mend, and answer how it stands then."""
    from nlctl.doctor.fixing import fixed

    latest = outcomes

    def again() -> list[Ailment]:
        nonlocal latest
        latest, _ = look()
        return _ailments(latest)

    fixed(session, name, _ailments(outcomes), again, dry_run=dry_run)
    return latest


def _ailments(outcomes: list[Outcome]) -> list[Ailment]:
    from nlctl.doctor.finding import Verdict
    from nlctl.doctor.mending import Ailment

    bad = (Verdict.FAILED, Verdict.WARNING)
    return [
        Ailment(one.check.id, found.what, found.remedies, found.fixes, one.check.by_hand)
        for one in outcomes
        for found in one.findings
        if found.verdict in bad
    ]


def _tell(session: Session, outcomes: list[Outcome], where: str, spent: float) -> None:
    from nlctl import VERSION
    from nlctl.doctor import report

    ui = session.ui
    rows = [row for one in outcomes for row in one.documents()]
    if ui.structured or ui.format == "name" or ui.quiet:
        ui.items("nlctl.doctor/v1", rows, _COLUMNS, facts={"duration_ms": round(spent * 1000)})
        return
    ui.text(f"nlctl {VERSION}, {where}, {len(outcomes)} checks")
    text = report.text(outcomes, lambda v: _mark(ui, v), spent, verbose=bool(session.verbose))
    for line in ui.fitted(text).splitlines():
        ui.text(line)


def _mark(ui: Ui, verdict: Verdict) -> str:
    from nlctl.doctor.finding import Verdict

    match verdict:
        case Verdict.FAILED:
            return ui.mark(False)
        case Verdict.WARNING | Verdict.UNKNOWN:
            return ui.mark(None)
        case Verdict.SKIPPED:
            return "-"
        case _:
            return ui.mark(True)


def _exit(outcomes: list[Outcome], *, strict: bool) -> int:
    from nlctl.doctor.finding import Verdict

    bad = (Verdict.FAILED, Verdict.WARNING) if strict else (Verdict.FAILED,)
    ways = next((one.findings for one in outcomes if one.check.id == "NLD-NET-01"), ())
    if ways and all(one.verdict is Verdict.FAILED or one.blocked_by for one in ways):
        return Exit.UNREACHABLE
    return Exit.UNHEALTHY if any(one.verdict in bad for one in outcomes) else Exit.OK

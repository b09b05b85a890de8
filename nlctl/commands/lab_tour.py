"""`nlctl lab tour`: fault after fault, each broken, looked at and mended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.session import Session
from nlctl.ui import Column

if TYPE_CHECKING:
    from nlctl.lab.asking import Answer
    from nlctl.lab.injection import Injection
    from nlctl.lab.lab import Lab
    from nlctl.ui import Ui

EPILOG = """\b
Examples:
  nlctl lab tour split-cas evicted-blob
  nlctl lab tour
  nlctl lab tour -o json | jq -r '.items[] | select(.agrees | not) | .fault'
\b
Exit status: 0 the doctor named each fault and nothing else, 3 no such fault, 5 it did not,
  7 that cluster is no lab, 8 a fault that was asked for needs more rights
"""
_COLUMNS = (
    Column("FAULT", "fault"),
    Column("EXPECTED", "expected"),
    Column("AGREES", "agrees"),
    Column("TOOK", "took_ms"),
)


def command(
    ctx: typer.Context,
    faults: Annotated[list[str] | None, typer.Argument(help="Which, as `nlctl lab ls` names them; all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show where it would lead.")] = False,
    name: Annotated[str, typer.Option(help="Which lab; the one called lab.")] = "",
) -> int:
    """Put one fault after the other into the lab, let the doctor look, and take it out again.

    Starts the lab when none runs. Each fault is explained first; at a terminal Enter leads on. Ctrl-C mends what is
    broken at that moment. One that this user may not cause is passed over, unless it was asked for.
    """
    from nlctl.faults import NOT_POSSIBLE, Fault
    from nlctl.lab.lab import SHAPE, Lab, chosen, ledger_of, opened

    session: Session = ctx.obj
    wanted = chosen(faults or ())
    if dry_run:
        rows = [_row(one, None, 0) for one in wanted]
        session.ui.items("nlctl.lab.tour/v1", rows, _COLUMNS, facts={"dry_run": True})
        return Exit.OK
    ledger = ledger_of(session, name)
    lab = opened(session, name) if ledger.exists else Lab(session, ledger)
    lab.start(SHAPE) if not ledger.exists else lab.restore()
    # All that this lab can have, unless some were asked for.
    wanted = wanted if faults else [one for one in wanted if one.backend == lab.kind]
    rows = []
    for number, one in enumerate(wanted):
        if number and session.ui.asks and not session.asked("Go on?"):
            break
        try:
            rows.append(_stop_of(session, lab, one))
        except Fault as fault:
            if faults or fault.kind is not NOT_POSSIBLE:
                raise
            session.ui.warn(f"{one.name} is passed over: {fault.why}")
    session.ui.items("nlctl.lab.tour/v1", rows, _COLUMNS, facts={"dry_run": False})
    return Exit.OK if all(row["agrees"] for row in rows) else Exit.UNHEALTHY


def _stop_of(session: Session, lab: Lab, injection: Injection) -> dict[str, Any]:
    from nlctl.lab.asking import ask, questions

    ui, begin = session.ui, time.monotonic()
    ui.say(f"{injection.name}: {injection.title}\n{injection.story}\n")
    try:
        clue = lab.broken_by(injection)
        asked = questions(injection, clue, lab.ledger.name)
        for one in asked:
            ui.say(f"$ {one}")
        answer = ask(injection, asked)
    finally:
        lab.restore()
    _tell(ui, injection, answer)
    return _row(injection, answer, round((time.monotonic() - begin) * 1000))


def _tell(ui: Ui, injection: Injection, answer: Answer) -> None:
    for one in answer.findings:
        ui.say(f"{one['id']} {one['status']}  {one['what']}")
        for remedy in one["fix"][:2]:
            ui.say(f"  fix   {remedy['text']}  {' '.join(remedy['command'])}".rstrip())
    if answer.cause:
        ui.say(f"{answer.cause}  {answer.what}")
    ui.say("" if answer.names(injection) else f"That is not what was expected: {injection.expected}\n")


def _row(injection: Injection, answer: Answer | None, took_ms: int) -> dict[str, Any]:
    findings = answer.findings if answer else ()
    return {
        "fault": injection.name,
        "title": injection.title,
        "expected": injection.expected,
        "findings": [{key: one[key] for key in ("id", "status", "what")} for one in findings],
        "cause": (answer.cause or None) if answer else None,
        "agrees": answer.names(injection) if answer else None,
        "took_ms": took_ms,
    }

"""`nlctl doctor action`: why an action waits, was slow, or failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.session import Session

if TYPE_CHECKING:
    from nlctl.doctor.deed import Diagnosis, Facts
    from nlctl.ui import Ui

EPILOG = """\b
Examples:
  nlctl doctor action @last
  nlctl doctor action 44f1c2aa
  nlctl doctor action 6b1f0f6e                 an operation of nlctl ops ls
  nlctl --endpoint grpc://cache.example:443 doctor action HASH/SIZE
\b
Exit status: 0 it waits, runs or ended well, 2 no digest in the text, 3 nobody knows it, 4 no cluster,
  5 it failed, or will wait for ever
"""


def command(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(help="The Action: HASH/SIZE, first digits, @last, or an operation's id.")],
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Say of one action why it waits, was slow, or failed: a verdict, the evidence, and what to do.

    Asks the scheduler where it stands, the action cache how it ended and how long each stage took, beside what is usual
    here, and the CAS whether its inputs are there. A server without the admin service tells all but the queue.
    """
    from nlctl.doctor.deed import BAD, diagnose
    from nlctl.doctor.deed_search import named, search

    session: Session = ctx.obj
    target = session.target(name)
    session.ui.waiting("asking the scheduler, the action cache and the CAS")
    wanted, operation = named(session, target, action)
    facts = session.wait_for(search(session, target, wanted, operation))
    found = diagnose(facts)
    item = _item(facts, found)
    session.ui.item("nlctl.doctor.action/v1", item, _text(session.ui, item, found), name=wanted.written)
    return Exit.UNHEALTHY if found.cause in BAD else Exit.OK


def _item(facts: Facts, found: Diagnosis) -> dict[str, Any]:
    from nlctl.doctor.deed import STAGES
    from nlctl.operations import ending, row
    from nlctl.recents import as_json

    ended = facts.ended
    return {
        "action": as_json(facts.action),
        "verdict": str(found.cause),
        "what": found.what,
        "because": found.because or None,
        "evidence": [one._asdict() for one in found.evidence],
        "fix": [{"text": one.text, "command": list(one.command)} for one in found.fixes],
        "operation": {**row(facts.operation), "ending": ending(facts.operation)} if facts.operation else None,
        "exit_code": ended.exit_code if ended else None,
        "worker": (ended.worker or None) if ended else None,
        "stderr": (ended.stderr or None) if ended else None,
        "missing": [as_json(one) for one in facts.missing],
        "stages": [
            {
                "stage": key.removesuffix("_ms"),
                "ms": ended.stages.get(key) if ended else None,
                "usual_ms": facts.typical.get(key),
            }
            for key in STAGES
        ],
        "samples": facts.samples,
    }


def _text(ui: Ui, item: dict[str, Any], found: Diagnosis) -> str:
    from nlctl.doctor.deed import BAD, Cause
    from nlctl.doctor.report import fix_words, hanging

    good = False if found.cause in BAD else None if found.cause in (Cause.SLOW, Cause.BUSY) else True
    lines = [ui.digest(item["action"]), "", *hanging(f"{ui.mark(good)} {ui.bold(found.cause)}  ", found.what)]
    lines += hanging("  why   ", found.because) if found.because else []
    for number, one in enumerate(found.evidence):
        lines += hanging("  seen  " if number == 0 else "        ", f"{one.name}: {one.value}  ({one.source})")
    for number, remedy in enumerate(found.fixes):
        lines.append(("  fix   " if number == 0 else "        ") + fix_words(remedy))
    tail = (item["stderr"] or "").strip().splitlines()[-10:]
    return "\n".join([*lines, *(["", "standard error:"] if tail else []), *(f"  {line}" for line in tail)])

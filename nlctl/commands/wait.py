"""`nlctl wait`: return once something holds."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from nlctl.conditions import Condition, condition
from nlctl.exits import Exit
from nlctl.faults import NOT_YET, TIMEOUT, Fault, fix
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl wait --for ready --timeout 2m
  nlctl wait --for workers=2 --for idle && nlctl down
  nlctl wait --for op=9c1f6e0c-6d0b-4a52-9b5c-1f7be3c1ac2d
  nlctl wait --for object=@last.stdout --for worker-1=ready
\b
Exit status: 0 it holds, 2 nothing to wait for, 3 no such part or operation, 4 no cluster runs, 6 not in time
"""
_LOOK_SECONDS: Final = 0.1
_LONGEST_SECONDS: Final = 600.0


def command(
    ctx: typer.Context,
    what: Annotated[list[str], typer.Option("--for", help="See below; may be given several times.")],
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Return once everything asked for holds at the same moment; --timeout says how long, 10 minutes if it does not.

    ready: every part is, and every worker is registered. idle: nothing waits or runs. workers=N: so many take work.
    op=ID: it has ended. object=DIGEST: the CAS has it. PART=STATE: as `nlctl ps` shows it, or gone.
    """
    session: Session = ctx.obj
    began = time.monotonic()
    conditions = [condition(session, name, text) for text in what]
    lacking = ""
    try:
        while lacking := _lacking(conditions):
            if time.monotonic() - began > _LONGEST_SECONDS:
                raise Fault(TIMEOUT, "it does not hold after 10 minutes", fixes=[fix("allow more time with --timeout")])
            session.ui.waiting(lacking)
            time.sleep(_LOOK_SECONDS)
    except Fault as fault:
        if fault.kind is not TIMEOUT:
            raise
        more = fix("allow more time with --timeout, or see what is slow", "nlctl", "status")
        raise Fault(NOT_YET, f"{' and '.join(what)}: {fault.message}", why=lacking, fixes=[more]) from fault
    took = time.monotonic() - began
    session.ui.step("wait", "holds", f"{' and '.join(what)}   {took:.1f}s", state="holds", ms=int(took * 1000))
    session.ui.item("nlctl.wait/v1", {"for": what, "took_ms": int(took * 1000)}, "", name=" ".join(what))
    return Exit.OK


def _lacking(conditions: list[Condition]) -> str:
    """What is missing now, of all conditions."""
    said = [(one.text, lack) for one in conditions if (lack := one.lacking())]
    return "; ".join(f"{text}: {lack}" for text, lack in said)

"""`nlctl ops show`: everything about one operation."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from nlserver.errors import Code, Error

from nlctl import admin
from nlctl.exits import Exit
from nlctl.operations import ending, identified, row, sentence, unknown, verdicts
from nlctl.session import Session, admin_of
from nlctl.ui import human_ago, human_properties, stamp

EPILOG = """\b
Examples:
  nlctl ops show 6b1f0f6e
  nlctl ops show @last -o json
\b
Exit status: 0 shown, 2 several are meant, 3 nobody knows it, 4 no cluster is running, 10 not known here
"""


def command(
    ctx: typer.Context,
    operation: Annotated[str, typer.Argument(help="An id or its beginning, a client's name, or an action's digest.")],
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show one operation: where it stands and since when, who asked, what it asks of a worker, and why it waits."""
    session: Session = ctx.obj
    endpoint = admin_of(session.target(name))
    about = identified(session, endpoint, operation)
    try:
        found = next(admin.watch_operations(endpoint, [about]))
        why = admin.explain(endpoint, about)
    except Error as error:
        if error.code is not Code.NOT_FOUND:
            raise
        raise unknown(operation) from error
    item = {**row(found), "ending": ending(found), "summary": why.summary, "workers": verdicts(why)}
    session.ui.item("nlctl.ops.show/v1", item, session.ui.fitted(_text(found, why)), name=found.id)
    return Exit.OK


def _text(found: admin.OperationFacts, why: admin.Explanation) -> str:
    shown: dict[str, Any] = {
        "operation": found.id,
        "state": f"{sentence(found)}   for {human_ago(stamp(found.since))}",
        "why": why.summary if found.stage == "queued" else "",
        "action": found.action.written,
        "target": " ".join(filter(None, (found.target, found.mnemonic))),
        "invocation": found.invocation,
        "properties": human_properties(found.properties),
        "attempts": f"{found.attempts} failed" if found.attempts else "",
        "clients": str(found.waiters),
    }
    lines = [f"{label:<12}{text}" for label, text in shown.items() if text]
    lines += [f"  {one.worker:<14}{one.verdict:<8}{one.reason}".rstrip() for one in why.workers]
    return "\n".join(lines)

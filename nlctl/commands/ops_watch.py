"""`nlctl ops watch`: each change of an operation, or of all, as it comes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from nlserver.errors import Code, Error

from nlctl import admin
from nlctl.exits import Exit
from nlctl.operations import ending, identified, row, sentence, unknown
from nlctl.session import Session, admin_of
from nlctl.ui import stamp

EPILOG = """\b
Examples:
  nlctl ops watch 6b1f0f6e            until it has ended
  nlctl ops watch                     all operations, until Ctrl-C
  nlctl ops watch -o jsonl | jq -r .state
\b
Exit status: 0 it ended, 3 nobody knows it, 4 no cluster is running, 5 it could not be brought to its end
"""


def command(
    ctx: typer.Context,
    operation: Annotated[
        list[str] | None, typer.Argument(help="Ids or their beginnings, or actions' digests; all operations.")
    ] = None,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show where operations stand, and then each change: queued, executing on a worker, completed and how.

    Of changes in quick succession the latest alone may be shown.
    """
    session: Session = ctx.obj
    endpoint = admin_of(session.target(name))
    ids = [identified(session, endpoint, text) for text in operation or ()]
    failed = False
    try:
        for one in admin.watch_operations(endpoint, ids):
            failed = failed or bool(one.ending and one.ending.failure)
            _show(session, one)
    except Error as error:
        if error.code is not Code.NOT_FOUND:
            raise
        raise unknown(" ".join(operation or ())) from error
    return Exit.UNHEALTHY if failed else Exit.OK


def _show(session: Session, one: admin.OperationFacts) -> None:
    ui = session.ui
    if ui.structured:
        ui.event("nlctl.ops.watch/v1", {**row(one), "ending": ending(one)})
        return
    what = " ".join(filter(None, (one.target, one.mnemonic)))
    if ui.out_is_terminal:
        clock = datetime.fromtimestamp(one.since).astimezone().strftime("%H:%M:%S")
        ui.text(f"{clock}  {one.id[:8]}  {sentence(one)}  {what}".rstrip())
    else:
        ui.text_fields(stamp(one.since) or "", one.id, one.stage, sentence(one), what)
    ui.flush()

"""`nlctl action replay`: run an action of the CAS again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.actions import read
from nlctl.exits import Exit
from nlctl.recents import as_json, remember
from nlctl.resolve import single
from nlctl.running import aimed, facts, files, performed, phases, refuse_what_no_worker_can, show, streams
from nlctl.session import Session
from nlctl.ui import Column, human_span
from nlctl.worker_ids import worker_name

if TYPE_CHECKING:
    from nlserver.reapi.client import Outcome

EPILOG = """\b
Examples:
  nlctl action replay @last --no-cache
  nlctl action replay 44f1c2aa --on worker-2 --no-cache --times 3
\b
Exit status: 0 it ran, 2 no digest, 3 the CAS lacks it, 4 unreachable, 10 --on is not known here, 125 it did not run
"""
_COLUMNS = (
    Column("RUN", "run"),
    Column("EXIT", "exit_code"),
    Column("CACHED", "cached"),
    Column("WORKER", "worker", lambda worker: worker_name(worker or "")),
    Column("QUEUED", "queued_ms", human_span),
    Column("FETCHED", "fetched_ms", human_span),
    Column("RAN", "ran_ms", human_span),
    Column("UPLOADED", "uploaded_ms", human_span),
)


def command(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(help="The Action: HASH/SIZE, first digits, @last, any text, or -.")],
    times: Annotated[int, typer.Option(help="How often, one after the other.", min=1)] = 1,
    on: Annotated[str, typer.Option(help="The worker that shall run it, by name or id.")] = "",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run it although a result is known.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only tell whether it could run.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Run an action again with its inputs from the CAS, show what it writes and how long each phase took.

    With --on it asks for that worker, which makes it another action with a key of its own in the action cache.
    """
    session: Session = ctx.obj
    wanted = single(session, action, Function.BLAKE3 if blake3 else Function.SHA256)
    made, rows = session.wait_for(_replayed(session, wanted, times, on, no_cache=no_cache, dry_run=dry_run))
    plan = {"action": as_json(wanted), "performed": as_json(made), "dry_run": dry_run}
    if dry_run:
        session.ui.say(f"it could run {times} time{'' if times == 1 else 's'}; nothing was run")
    session.ui.items("nlctl.action.replay/v1", rows, _COLUMNS, facts=plan)
    return Exit.OK


async def _replayed(
    session: Session, wanted: Digest, times: int, worker: str, *, no_cache: bool, dry_run: bool
) -> tuple[Digest, list[dict[str, Any]]]:
    from nlctl.remote import client

    target = session.target()
    rows: list[dict[str, Any]] = []
    async with client(target, wanted.function) as remote:
        known = await read(remote, wanted)
        more = await aimed(target, remote, worker)
        refuse_what_no_worker_can(target, [*known.platform, *more.items()])
        made = known.remade(platform=more)
        for number in range(1, 1 if dry_run else times + 1):
            outcome = await performed(session, target, remote, made, no_cache=no_cache)
            _show(session, outcome, number)
            rows.append(_row(outcome, number))
    return made.action, rows


def _show(session: Session, outcome: Outcome, number: int) -> None:
    session.ui.waiting("")
    if session.verbose or session.ui.progress == "tty":
        how = "cached" if outcome.cached else phases(outcome.metadata)
        session.ui.say(f"run {number}: exit {outcome.exit_code} - {how}")
    # What the command wrote is talk here: the data are the runs.
    show(session, b"", outcome.stderr + outcome.stdout)
    remember(session.state, "run", {"action": outcome.action, **streams(outcome), **files(outcome)})


def _row(outcome: Outcome, number: int) -> dict[str, Any]:
    return {
        "run": number,
        **facts(outcome),
        "stdout": outcome.stdout.decode(errors="replace"),
        "stderr": outcome.stderr.decode(errors="replace"),
        "outputs": [{"path": path, "digest": as_json(digest)} for path, digest in files(outcome).items()],
    }

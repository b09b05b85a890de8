"""`nlctl action determinism`: does an action leave the same each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.actions import read
from nlctl.exits import Exit
from nlctl.recents import as_json
from nlctl.resolve import single
from nlctl.running import aimed, performed, phases, refuse_what_no_worker_can
from nlctl.session import Session
from nlctl.ui import Column

if TYPE_CHECKING:
    from nlctl.leavings import Unlike

EPILOG = """\b
Examples:
  nlctl action determinism @last
  nlctl action determinism 44f1c2aa --times 20 --on worker-1
\b
Exit status: 0 always the same, 2 no digest, 3 the CAS lacks it, 4 unreachable, 12 outputs differ, 125 it did not run
"""


def command(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(help="The Action: HASH/SIZE, first digits, @last, any text, or -.")],
    times: Annotated[int, typer.Option(help="How often to run it.", min=2, max=1000)] = 5,
    on: Annotated[str, typer.Option(help="The worker that shall run it, by name or id; any.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only tell whether it could run.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Run an action several times and compare what it leaves by digest: files, directories, links, streams, exit code.

    It runs as one whose result is not kept, so that the action cache is neither asked nor changed.
    """
    session: Session = ctx.obj
    wanted = single(session, action, Function.BLAKE3 if blake3 else Function.SHA256)
    found, workers = session.wait_for(_compared(session, wanted, times, on, dry_run=dry_run))
    facts = {"action": as_json(wanted), "times": times, "dry_run": dry_run, "workers": workers}
    session.ui.items("nlctl.action.determinism/v1", [_row(one) for one in found], _COLUMNS, facts=facts)
    if dry_run:
        session.ui.say(f"it could run {times} times; nothing was run")
    elif found:
        session.ui.say(f"{len(found)} of what it leaves differ between {times} runs")
    else:
        session.ui.say(f"{times} runs left the same, on {len(workers)} worker{'' if len(workers) == 1 else 's'}")
    return Exit.DIFFERS if found else Exit.OK


async def _compared(
    session: Session, wanted: Digest, times: int, worker: str, *, dry_run: bool
) -> tuple[list[Unlike], list[str]]:
    from nlserver.reapi.outputs import trees_of
    from nlserver.reapi.tree import tree_of

    from nlctl.leavings import named, unlike
    from nlctl.remote import client
    from nlctl.worker_ids import worker_name

    target = session.target()
    runs: list[dict[str, str]] = []
    workers: dict[str, None] = {}
    async with client(target, wanted.function) as remote:
        known = await read(remote, wanted)
        more = await aimed(target, remote, worker)
        refuse_what_no_worker_can(target, [*known.platform, *more.items()])
        made = known.remade(platform=more, do_not_cache=True)
        for number in range(1, 1 if dry_run else times + 1):
            outcome = await performed(session, target, remote, made, no_cache=True)
            session.ui.waiting(f"run {number} of {times}: {phases(outcome.metadata)}")
            data = await remote.read_many(trees_of(outcome.result, wanted.function))
            trees = {digest: tree_of(blob, wanted.function) for digest, blob in data.items()}
            runs.append(named(outcome.result, trees, wanted.function))
            workers[worker_name(outcome.metadata.worker)] = None
    session.ui.waiting("")
    return unlike(runs), [name for name in workers if name]


def _row(one: Unlike) -> dict[str, Any]:
    return {"name": one.name, "different": len(set(one.values)), "values": list(one.values)}


def _values(values: list[str | None]) -> str:
    return " ".join(dict.fromkeys(value or "(absent)" for value in values))


_COLUMNS = (
    Column("OUTPUT", "name"),
    Column("DIFFERENT", "different"),
    Column("VALUES", "values", _values),
)

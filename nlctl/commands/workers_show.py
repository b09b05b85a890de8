"""`nlctl workers show`: everything about one worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from nlctl import admin
from nlctl.crew import Tier, facts, fast_tiers
from nlctl.exits import Exit
from nlctl.faults import AMBIGUOUS, Fault, fix
from nlctl.operations import MOST, row
from nlctl.session import Session, admin_of
from nlctl.ui import human_ago, human_bytes, human_properties, stamp

EPILOG = """\b
Examples:
  nlctl workers show worker-1
  nlctl workers show worker-1 -o json
\b
Exit status: 0 shown, 2 several have this name, 3 no such worker, 4 no cluster is running, 10 not known here
"""


def command(
    ctx: typer.Context,
    worker: Annotated[str, typer.Argument(help="A name or an id, as `nlctl workers ls` shows them.")],
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show one worker: what it offers and what is left of it, what it runs, and what its fast tier holds.

    The fast tier is known of workers that nlctl started.
    """
    session: Session = ctx.obj
    target = session.target(name)
    endpoint = admin_of(target)
    found = _one(worker, admin.workers_named(endpoint, [worker]))
    running = [one for one in admin.operations(endpoint, ("executing",), MOST)[0] if one.worker == found.id]
    tier = fast_tiers(session, target, [found.name]).get(found.name)
    item = {**facts(found, tier), "operations": [row(one) for one in running]}
    session.ui.item("nlctl.workers.show/v1", item, session.ui.fitted(_text(found, running, tier)), name=found.name)
    return Exit.OK


def _one(asked: str, found: Sequence[admin.WorkerFacts]) -> admin.WorkerFacts:
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        raise Fault(AMBIGUOUS, f"{len(found)} workers are called {asked}", why=ids, fixes=[fix("give an id")])
    return found[0]


def _text(worker: admin.WorkerFacts, running: Sequence[admin.OperationFacts], tier: Tier | None) -> str:
    most = worker.most_operations or "any number"
    shown: dict[str, Any] = {
        "worker": worker.name,
        "id": worker.id,
        "state": worker.state,
        "running": f"{len(worker.operations)} of {most}, {worker.completed} ended",
        "connected": f"{human_ago(stamp(worker.connected))} ago",
        "last heard": f"{human_ago(stamp(worker.last_seen))} ago",
        "properties": human_properties(worker.properties),
        "left": human_properties(worker.remaining),
        "fast tier": f"{human_bytes(tier.size_bytes)} of {human_bytes(tier.max_bytes)}" if tier else "",
    }
    lines = [f"{label:<12}{text}" for label, text in shown.items() if text]
    for one in running:
        what = " ".join(filter(None, (one.target, one.mnemonic))) or one.action.hash
        lines.append(f"  {one.id}  {human_ago(stamp(one.since)):<8}{what}")
    return "\n".join(lines)

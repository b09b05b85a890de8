"""`nlctl workers ls`: the workers that the scheduler sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from nlctl import admin
from nlctl.crew import Tier, facts, fast_tiers, natural, running
from nlctl.exits import Exit
from nlctl.launch.wish import AIM
from nlctl.operations import MOST
from nlctl.recents import as_json
from nlctl.session import Session, admin_of
from nlctl.ui import Column, human_ago, human_bytes, human_properties, stamp

EPILOG = """\b
Examples:
  nlctl workers ls
  nlctl workers ls -q | wc -l
  nlctl workers ls -o json
\b
Exit status: 0 listed, 4 no cluster is running, 10 this server cannot list workers
"""


def command(ctx: typer.Context, name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "") -> int:
    """List the workers that are registered with the scheduler, with what they offer and what they run.

    What their fast tiers hold is known of workers that nlctl started.
    """
    session: Session = ctx.obj
    target = session.target(name)
    endpoint = admin_of(target)
    found = sorted(admin.workers(endpoint), key=lambda one: natural(one.name))
    at_work = running(admin.operations(endpoint, ("executing",), MOST)[0]) if any(w.operations for w in found) else {}
    tiers = fast_tiers(session, target, {one.name for one in found})
    rows = [_row(one, tiers.get(one.name), at_work.get(one.id, ())) for one in found]
    session.ui.items("nlctl.workers/v1", rows, _COLUMNS, none="no worker is connected to the scheduler")
    return Exit.OK


def _row(worker: admin.WorkerFacts, tier: Tier | None, at_work: Sequence[admin.OperationFacts]) -> dict[str, Any]:
    return {
        **facts(worker, tier),
        "slots": f"{len(worker.operations)}/{worker.most_operations or '-'}",
        "oldest": _current(at_work[0]) if at_work else None,
        "operations": list(worker.operations),
    }


def _current(operation: admin.OperationFacts) -> dict[str, Any]:
    return {
        "operation": operation.id,
        "action": as_json(operation.action),
        "target": operation.target or None,
        "mnemonic": operation.mnemonic or None,
        "since": stamp(operation.since),
    }


def _running(oldest: Mapping[str, Any] | None) -> str:
    if oldest is None:
        return ""
    what = " ".join(filter(None, (oldest["target"], oldest["mnemonic"]))) or oldest["action"]["hash"][:8]
    return f"{what} ({human_ago(oldest['since'])})"


def _offered(properties: Mapping[str, Sequence[str]]) -> str:
    """Without the name, which stands in front."""
    return human_properties({name: values for name, values in properties.items() if name != AIM})


_COLUMNS = (
    Column("WORKER", "name"),
    Column("STATE", "state"),
    Column("SLOTS", "slots"),
    Column("RUNNING", "oldest", _running),
    Column("FAST TIER", "fast_tier_bytes", human_bytes),
    Column("LAST SEEN", "last_seen", human_ago),
    Column("PROPERTIES", "properties", _offered),
)

"""`nlctl queue show`: one queue in full: what waits and runs in it, and what each worker says to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from nlctl import admin
from nlctl.exits import Exit
from nlctl.faults import NO_QUEUE, Fault, fix
from nlctl.operations import MOST, row, verdicts
from nlctl.session import Session, admin_of
from nlctl.settings import pairs
from nlctl.ui import human_ago, human_properties, stamp

EPILOG = """\b
Examples:
  nlctl queue show
  nlctl queue show ISA=arm64
\b
Exit status: 0 shown, 3 there is no such queue, 4 no cluster is running, 5 something waits that no worker can run
"""
_SHOWN = 20


def command(
    ctx: typer.Context,
    platform: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Queues that ask for these; the longest queue.")
    ] = None,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show a queue: the operations that ask for the same properties, and which workers could run them or why not."""
    session: Session = ctx.obj
    endpoint = admin_of(session.target(name))
    chosen = _chosen(admin.queues(endpoint), pairs(platform or ()))
    alike, _ = admin.operations(endpoint, ("queued", "executing"), MOST)
    mine = [one for one in alike if one.properties == chosen.properties]
    why = admin.explain_properties(endpoint, _flat(chosen.properties))
    text = session.ui.fitted(_text(chosen, mine, why))
    session.ui.item("nlctl.queue.show/v1", _item(chosen, mine, why), text)
    return Exit.UNHEALTHY if chosen.queued and not chosen.workers else Exit.OK


def _chosen(queues: Sequence[admin.QueueFacts], asked: Mapping[str, str]) -> admin.QueueFacts:
    for queue in queues:
        if all(value in queue.properties.get(name, ()) for name, value in asked.items()):
            return queue
    there = "; ".join(human_properties(queue.properties) or "(no properties)" for queue in queues)
    raise Fault(
        NO_QUEUE,
        "nothing waits or runs" if not queues else "nothing that asks for these properties waits or runs",
        why=f"there are: {there}" if there else "",
        fixes=[fix("see all queues", "nlctl", "queue", "ls")],
    )


def _flat(properties: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, values in properties.items() for value in values]


def _item(queue: admin.QueueFacts, mine: Sequence[admin.OperationFacts], why: admin.Explanation) -> dict[str, Any]:
    return {
        "scheduler": queue.scheduler,
        "properties": queue.properties,
        "queued": queue.queued,
        "executing": queue.executing,
        "oldest": stamp(queue.oldest),
        "explanation": queue.explanation or None,
        "workers": verdicts(why),
        "operations": [row(one) for one in mine],
    }


def _text(queue: admin.QueueFacts, mine: Sequence[admin.OperationFacts], why: admin.Explanation) -> str:
    lines = [
        f"properties  {human_properties(queue.properties) or '(none)'}",
        f"queued      {queue.queued}" + (f", the oldest for {human_ago(stamp(queue.oldest))}" if queue.oldest else ""),
        f"executing   {queue.executing}",
    ]
    lines += [f"  {one.worker:<14}{one.verdict:<8}{one.reason}".rstrip() for one in why.workers]
    lines += [
        f"  {one.id}  {one.stage:<10}{human_ago(stamp(one.since)):<8}{one.target}".rstrip() for one in mine[:_SHOWN]
    ]
    lines += [f"  and {len(mine) - _SHOWN} more"] if len(mine) > _SHOWN else []
    return "\n".join(lines)

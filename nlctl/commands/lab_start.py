"""`nlctl lab start`: a practice cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.session import Session

if TYPE_CHECKING:
    from nlctl.launch.containers import Containers
    from nlctl.launch.ledger import Ledger

EPILOG = """\b
Examples:
  nlctl lab start
  nlctl lab start --workers 3
  nlctl lab start --backend docker
  nlctl lab start --dry-run
\b
Exit status: 0 it runs, 5 a part or canary failed, 6 not ready in time, 7 a cluster of this name is no lab
"""


def command(
    ctx: typer.Context,
    workers: Annotated[int, typer.Option(help="How many workers, two at least.", min=2)] = 2,
    backend: Annotated[str, typer.Option(help="What runs the parts: process or docker.")] = "",
    image: Annotated[str, typer.Option(help="docker: the image of the parts.")] = "",
    wait_timeout: Annotated[str, typer.Option(help="Longest wait until it is ready.")] = "60s",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only tell whether it would start.")] = False,
    name: Annotated[str, typer.Option(help="What to call it; lab.")] = "",
) -> int:
    """Start a small cluster of its own, into which `nlctl lab break` puts faults.

    It is an ordinary cluster with free ports and a folder of its own, and touches no other. What was broken in it
    stays broken until `nlctl lab restore`.
    """
    from nlctl.lab.lab import SHAPE, Lab, ledger_of, opened

    session: Session = ctx.obj
    ledger = ledger_of(session, name)
    lab = opened(session, name) if ledger.exists else Lab(session, ledger)
    containers = _containers(ledger, backend, image)
    if not dry_run and not lab.journal.broken:
        lab.start(replace(SHAPE, workers=workers, wait_seconds=seconds(wait_timeout), containers=containers))
    session.ui.say(f'Lab "{ledger.name}" {"would run" if dry_run else "runs"} with {workers} workers.')
    session.ui.say("Faults   nlctl lab ls        Break it   nlctl lab break split-cas        All   nlctl lab tour")
    item = {"name": ledger.name, "dry_run": dry_run, "workers": workers, "broken": lab.journal.broken or None}
    session.ui.item("nlctl.lab.start/v1", item, "", name=ledger.name)
    return Exit.OK


def _containers(ledger: Ledger, backend: str, image: str) -> Containers | None:
    """What the parts run in; a lab that is there keeps what it has. Raises Fault USAGE."""
    from nlctl.faults import USAGE, Fault, fix
    from nlctl.launch import backends
    from nlctl.launch.containers import DEFAULT_IMAGE, Containers

    record = ledger.load()
    before = record.containers if record is not None else None
    kind = backend or (backends.DOCKER if before or image else backends.PROCESS)
    if kind not in backends.NAMES:
        raise Fault(USAGE, f"there is no backend {kind!r}", fixes=[fix(f"choose {' or '.join(backends.NAMES)}")])
    if record is not None and (kind == backends.DOCKER) != (before is not None):
        stop = fix("stop it first", "nlctl", "lab", "stop", "--name", ledger.name)
        raise Fault(USAGE, f"lab {ledger.name!r} does not run with the backend {kind}", fixes=[stop])
    return before or (Containers(image or DEFAULT_IMAGE) if kind == backends.DOCKER else None)

"""`nlctl config new`: configs to begin with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl config new                               cas, scheduler and worker for this machine
  nlctl config new --workers 3 --out ./nl        a file for each worker
  nlctl config new --slow grpc://cas.corp:50051  workers and scheduler for a CAS that exists
  nlctl config new all-in-one
\b
Exit status: 0 written, 2 no such template, 7 a file is there and says something else
"""
TEMPLATES: Final = {
    "multi-worker": ("cas.json5", "scheduler.json5", "worker.json5"),
    "all-in-one": ("all-in-one.json5",),
    "cache-only": ("cache-only.json5",),
}


def command(
    ctx: typer.Context,
    template: Annotated[str, typer.Argument(help=f"One of {', '.join(TEMPLATES)}.")] = "multi-worker",
    out: Annotated[str, typer.Option(help="The directory to write into.")] = ".",
    workers: Annotated[int, typer.Option(help="Write worker-1 to worker-N; 0 for one worker.json5.", min=0)] = 0,
    slow: Annotated[str, typer.Option(help="URL of a CAS that exists; none is written then.")] = "",
    data: Annotated[str, typer.Option(help="Where the processes keep their data.")] = "/var/lib/nlctl",
    base_port: Annotated[int, typer.Option(help="Listen on P, P+1 and P+10.", min=1024, max=65525)] = 50051,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say which files.")] = False,
) -> int:
    """Write commented configs that start with `nlserver` and with NativeLink alike.

    Each value that differs between machines is a variable with a default, such as ${DATA:-/var/lib/nlctl}.
    """
    from nlctl import configs
    from nlctl.specs import starting

    session: Session = ctx.obj
    if template not in TEMPLATES:
        raise Fault(USAGE, f"there is no template {template!r}", fixes=[fix(f"choose one of {', '.join(TEMPLATES)}")])
    values = starting.values(data=data, base_port=base_port, slow=slow)
    files = starting.files(template, TEMPLATES[template], values, workers=workers, own_cas=not slow)
    elsewhere = fix("choose another directory", "nlctl", "config", "new", "--out", "DIR")
    configs.write_new(Path(out), files, elsewhere, dry_run=dry_run)
    names = [os.path.join(out, name) for name in files]
    judge = f"nlctl config validate --deep {out}"
    starts = [f"nlserver {name}" for name in names]
    text = "\n".join(f"{'would write' if dry_run else 'wrote'} {name}" for name in names)
    item = {"template": template, "dry_run": dry_run, "files": names, "next": [judge, *starts]}
    session.ui.item("nlctl.config.new/v1", item, text, name="\n".join(names))
    if not dry_run:
        session.ui.say(f"Judge    {judge}")
        session.ui.say(f"Start    {starts[0]}")
    return Exit.OK

"""`nlctl config render`: the files that run this cluster elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from nlctl import VERSION
from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl config render --to compose --workers 5 --cpus 4 --memory 8gb --out ./deploy
  nlctl config render --to swarm --out ./deploy
  nlctl config render --to systemd --workers 4 --out ./units
  nlctl config render --to k8s --image registry.corp/nlctl:1.2 --out ./deploy
\b
Exit status: 0 written, 2 no such place, 7 a file is there and says something else
"""


def command(
    ctx: typer.Context,
    to: Annotated[str, typer.Option("--to", help="compose, swarm, systemd or k8s.")],
    out: Annotated[str, typer.Option(help="The directory to write into.")] = ".",
    workers: Annotated[int | None, typer.Option(help="How many; as the cluster has, or 3.", min=0, max=500)] = None,
    cas_size: Annotated[str | None, typer.Option(help="Most that the CAS keeps; as the cluster's, or 10gb.")] = None,
    cpus: Annotated[float | None, typer.Option(help="Most CPUs for one worker; no limit.", min=0.01)] = None,
    memory: Annotated[str | None, typer.Option(help="Most memory for one worker, as 8gb; no limit.")] = None,
    image: Annotated[str, typer.Option(help="The image that holds nlserver.")] = f"nlctl:{VERSION}",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say which files.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Write what runs a cluster of this shape under Compose, Swarm, systemd or Kubernetes, configs included.

    The configs are those of `nlctl config new`: each part has directories of its own, and workers share the CAS server.
    """
    from nlctl import configs, render
    from nlctl.sizes import parse
    from nlctl.specs.starting import files as starting

    session: Session = ctx.obj
    if to not in render.PLACES:
        raise Fault(
            USAGE, f"nothing can be rendered to {to!r}", fixes=[fix(f"choose one of {', '.join(render.PLACES)}")]
        )
    ledger = session.ledger(name)
    record = ledger.load()
    size = cas_size or (record.cas_size if record else "10gb")
    parse(size)
    count = workers if workers is not None else len(record.workers) if record else 3
    most = parse(memory) if memory is not None else None
    texts = starting("multi-worker", ("cas.json5", "scheduler.json5", "worker.json5"), {})
    shape = render.Shape(ledger.name, count, size, texts, image, _program(), cpus, most)
    made = render.files(to, shape)
    elsewhere = fix("choose another directory", "nlctl", "config", "render", "--to", to, "--out", "DIR")
    configs.write_new(Path(out), made, elsewhere, dry_run=dry_run)
    names = [os.path.join(out, file) for file in made]
    text = "\n".join(f"{'would write' if dry_run else 'wrote'} {one}" for one in names)
    item = {"to": to, "dry_run": dry_run, "workers": count, "cas_size": size, "files": names}
    session.ui.item("nlctl.config.render/v1", item, text, name="\n".join(names))
    return Exit.OK


def _program() -> str:
    beside = Path(sys.executable).with_name("nlserver")
    return str(beside) if beside.exists() else shutil.which("nlserver") or "/usr/local/bin/nlserver"

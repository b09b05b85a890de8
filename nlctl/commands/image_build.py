"""`nlctl image build`: the image that runs every part in containers."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from nlctl import VERSION
from nlctl.exits import Exit
from nlctl.session import Session
from nlctl.ui import human_bytes

EPILOG = """\b
Examples:
  nlctl image build
  nlctl image build --base debian-python:12 --tag registry.corp/nlctl:1.2
  nlctl image build --wheels ./wheels                     without a network
\b
Exit status: 0 built, 3 no base or no wheels, 4 no engine answers, 5 the build failed
"""


def command(
    ctx: typer.Context,
    base: Annotated[str, typer.Option(help="The image to build on; it has Python 3.11 or later.")] = "python:3.11-slim",
    tag: Annotated[str, typer.Option(help="What the image is called.")] = f"nlctl:{VERSION}",
    wheels: Annotated[Path | None, typer.Option(help="Build from the wheels in this directory; else by pip.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Build every layer anew.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only see whether it could be built.")] = False,
) -> int:
    """Build the image that holds every part: CAS, scheduler, worker, and this tool.

    The Docker Engine at DOCKER_HOST, or that of this machine, builds it from wheels that fit the base. Extend it with
    what your actions need: FROM this image, and a compiler.
    """
    from nlctl.containers import image
    from nlctl.containers.connection import connect
    from nlctl.containers.wheels import brought, gathered

    session: Session = ctx.obj
    found = brought(wheels) if wheels is not None else None
    engine = connect(session.environment)
    with closing(engine), tempfile.TemporaryDirectory() as scratch:
        python = image.python_of(engine, base, session.ui.say)
        item = {"tag": tag, "base": base, "python": python.version, "machine": python.machine, "dry_run": dry_run}
        if dry_run:
            made = {**item, "id": None, "size_bytes": None, "added_bytes": None}
            text = f"would build {tag} on {base}, Python {python.version} on {python.machine}"
        else:
            if found is None:
                session.ui.say(f"gathering wheels for Python {python.version} on {python.machine}")
                found = gathered(Path(scratch), python)
            told = session.ui.waiting if session.ui.progress == "tty" else session.ui.say
            built = image.build(engine, base, tag, found, told, fresh=fresh)
            session.ui.waiting("")
            made = {**item, "id": built.id, "size_bytes": built.size_bytes, "added_bytes": built.added_bytes}
            text = f"built {tag}: {human_bytes(built.size_bytes)}, {human_bytes(built.added_bytes)} more than {base}"
    session.ui.item("nlctl.image.build/v1", made, text, name=tag)
    return Exit.OK

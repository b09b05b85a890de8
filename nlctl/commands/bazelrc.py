"""`nlctl bazelrc`: the lines that make Bazel use this cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.launch.ledger import write as write_file
from nlctl.session import Session, Target

EPILOG = """\b
Examples:
  nlctl bazelrc                   show the lines
  nlctl bazelrc --write           write .bazelrc.nlctl into this workspace
  bazel build --config=nl //...
\b
Exit status: 0 done, 4 no cluster is running
"""
FILE = ".bazelrc.nlctl"
_MARKERS = ("MODULE.bazel", "WORKSPACE", "WORKSPACE.bazel", "REPO.bazel")


def command(
    ctx: typer.Context,
    write: Annotated[bool, typer.Option("--write", help=f"Write {FILE} into the workspace.")] = False,
    config: Annotated[str, typer.Option(help="The name for --config=NAME.")] = "nl",
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show or write the .bazelrc lines for this cluster: executor, cache, instance, retries."""
    session: Session = ctx.obj
    if not config.replace("-", "").replace("_", "").isalnum():
        raise Fault(USAGE, f"{config!r} cannot name a Bazel config", fixes=[fix("use letters, digits, - and _")])
    target = session.target(name)
    made = lines(target, config)
    path = _workspace(Path.cwd()) / FILE if write else None
    if path is not None:
        write_file(path, "\n".join(made) + "\n")
        session.ui.say(f'wrote {path} (config "{config}")')
        session.ui.say(f"Add this line to .bazelrc:  try-import %workspace%/{FILE}")
    item = {"lines": made, "path": str(path) if path else None, "config": config}
    session.ui.item("nlctl.bazelrc/v1", item, "" if write else "\n".join(made), name=str(path or config))
    return Exit.OK


def lines(target: Target, config: str) -> list[str]:
    """The lines, one option each. Every option is known to Bazel 4 and later, because an unknown one stops it."""
    options = [
        f"--remote_executor={target.executor}",
        f"--remote_cache={target.cas}",
        *([f"--remote_instance_name={target.instance}"] if target.instance else []),
        "--remote_timeout=600",
        "--remote_retries=5",
        # Otherwise Bazel up to 7 gives up a build whose scheduler was started again, in place of asking it once more.
        "--experimental_remote_execution_keepalive",
        "--jobs=50",
    ]
    source = f"cluster {target.cluster}" if target.cluster else target.executor
    return [
        f"# Written by nlctl bazelrc for {source}. The digest function is Bazel's default, SHA256.",
        *(f"build:{config} {option}" for option in options),
    ]


def _workspace(folder: Path) -> Path:
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).exists() for marker in _MARKERS):
            return candidate
    return folder

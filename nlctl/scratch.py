"""An action's inputs laid out in a directory of this machine, and its command run there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nlctl.faults import BLOB_MISSING, NO_PROGRAM, Fault, fix

if TYPE_CHECKING:
    from nlserver.reapi.client import Client

    from nlctl.actions import Known
    from nlctl.trees import Loaded


@dataclass(frozen=True)
class Place:
    """Where an action is laid out. `here` is its working directory, `timeout_seconds` None for no limit."""

    root: Path
    here: Path
    arguments: Sequence[str]
    environment: dict[str, str]
    timeout_seconds: float | None


async def lay_out(remote: Client, known: Known, root: Path) -> Place:
    """Write the inputs as this directory, which is not there or empty, and the directories that its outputs need.

    Raises Missing, Fault BLOB_MISSING, Error.
    """
    from nlserver.reapi.action import outputs_of, timeout_of, working_directory_of
    from nlserver.reapi.tree import Tree

    from nlctl import objects

    tree = await objects.tree(remote, known.inputs)
    if tree.absent:
        raise _lacking(tree)
    await remote.download_tree(Tree(tree.root, tree.directories), root)
    here = root / working_directory_of(known.command)
    for parent in ("", *outputs_of(known.command).parents):
        (root / parent).mkdir(parents=True, exist_ok=True)
    here.mkdir(parents=True, exist_ok=True)
    variables = {one.name: one.value for one in known.command.environment_variables}
    return Place(root, here, list(known.command.arguments), variables, timeout_of(known.action))


def _lacking(tree: Loaded) -> Fault:
    first = sorted(tree.absent)[0]
    return Fault(
        BLOB_MISSING,
        f"the CAS lacks {len(tree.absent)} directories of the inputs",
        why=f"the first is {first.written}",
        fixes=[fix("see which store lost it", "nlctl", "cas", "why", first.written)],
    )


def run(place: Place, *, to_error: bool) -> int:
    """Run the command and wait for it; its status, or minus the signal that ended it.

    What it writes goes where this program's goes; with `to_error` all of it to standard error. Raises Fault
    NO_PROGRAM, and subprocess.TimeoutExpired after killing it.
    """
    return _run(place, place.arguments, to_error=to_error, limit=place.timeout_seconds)


def shell(place: Place) -> int:
    """Let the user look around with the action's environment; what the shell returned."""
    return _run(place, ["/bin/sh", "-i"], to_error=False, limit=None)


def _run(place: Place, arguments: Sequence[str], *, to_error: bool, limit: float | None) -> int:
    try:
        # A relative program is looked for in the working directory, as a worker does it.
        process = subprocess.Popen(
            arguments,
            cwd=place.here,
            env=place.environment,
            executable=_program(place, arguments[0]),
            stdout=2 if to_error else None,
        )
    except OSError as error:
        raise Fault(
            NO_PROGRAM,
            f"{arguments[0]} cannot be started here",
            why=error.strerror or str(error),
            fixes=[fix("run it where it is installed"), fix("look around in its directory: add --shell")],
        ) from error
    with process:
        try:
            return process.wait(limit)
        except BaseException:
            process.kill()
            raise


def _program(place: Place, name: str) -> str:
    """The program's path: by the action's PATH, or from its working directory."""
    import shutil

    if "/" in name:
        return os.path.join(place.here, name)
    return shutil.which(name, path=place.environment.get("PATH", os.defpath)) or name

"""`nlctl action local`: an action's command, run here in a directory of its own."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.actions import Known, read
from nlctl.exits import Exit
from nlctl.faults import TIMEOUT, USAGE, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import single
from nlctl.session import Session

if TYPE_CHECKING:
    from nlserver.proto import remote_execution_pb2 as re_pb

    from nlctl.scratch import Place

EPILOG = """\b
Examples:
  nlctl action local @last
  nlctl action local 44f1c2aa --shell          look around, and run it by hand
  nlctl action local 44f1c2aa --keep -o json | jq -r .item.directory
\b
Exit status: 0 it ended with 0, 3 an input is missing, 4 unreachable, 5 it failed, 6 past its limit, 13 it is no action
"""


def command(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(help="The Action: HASH/SIZE, first digits, @last, any text, or -.")],
    shell: Annotated[bool, typer.Option("--shell", help="Open a shell there in place of running the command.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the directory.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Lay an action's inputs out in a temporary directory, run its command there with its environment, compare outputs.

    It says what is not as on a worker: programs and files outside of the directory are those of this machine.
    """
    session: Session = ctx.obj
    if shell and not session.ui.asks:
        raise Fault(USAGE, "--shell needs a terminal", fixes=[fix("leave --shell out, or add --keep")])
    wanted = single(session, action, Function.BLAKE3 if blake3 else Function.SHA256)
    if keep:
        return _there(session, wanted, Path(tempfile.mkdtemp(prefix="nlctl-action-")), shell=shell, kept=True)
    with tempfile.TemporaryDirectory(prefix="nlctl-action-") as folder:
        return _there(session, wanted, Path(folder), shell=shell, kept=False)


def _there(session: Session, wanted: Digest, folder: Path, *, shell: bool, kept: bool) -> int:
    from nlctl import scratch

    known, place, result = session.wait_for(_laid_out(session, wanted, folder / "root"))
    unlike = _unlike(known, place)
    for sentence in unlike:
        session.ui.say(f"unlike a worker: {sentence}")
    if shell:
        session.ui.say(f"in {place.here}; the command is: {' '.join(place.arguments)}")
    try:
        status = scratch.shell(place) if shell else scratch.run(place, to_error=session.ui.structured)
    except subprocess.TimeoutExpired as error:
        limit = fix("see what it does", "nlctl", "action", "local", wanted.written, "--shell")
        raise Fault(TIMEOUT, f"the command ran longer than its {error.timeout:g}s", fixes=[limit]) from error
    outputs = [] if shell else _outputs(known, place, result)
    item = {
        "action": as_json(wanted),
        "exit_code": status,
        "directory": str(place.here) if kept else None,
        "unlike_a_worker": unlike,
        "outputs": outputs,
        "cached_exit_code": None if result is None else result.exit_code,
    }
    _say(session, item, place)
    session.ui.item("nlctl.action.local/v1", item, "", name=str(place.here) if kept else "")
    # Only `run` hands a command's own status on: here 3, 4, 6 and 13 are said by us, and the document has the status.
    return Exit.OK if shell or status == 0 else Exit.UNHEALTHY


async def _laid_out(session: Session, wanted: Digest, root: Path) -> tuple[Known, Place, re_pb.ActionResult | None]:
    from nlctl.remote import client
    from nlctl.scratch import lay_out

    async with client(session.target(), wanted.function) as remote:
        known = await read(remote, wanted)
        session.ui.waiting("fetching inputs")
        place = await lay_out(remote, known, root)
        session.ui.waiting("")
        return known, place, await remote.action_result(wanted)


def _unlike(known: Known, place: Place) -> list[str]:
    found = ["programs, libraries and files outside of its directory are those of this machine and user"]
    if asked := " ".join(f"{name}={value}" for name, value in known.platform):
        found.append(f"nobody looks whether this machine has the properties that it asks for: {asked}")
    if "PATH" not in place.environment:
        found.append("it sets no PATH; a worker may add variables of its own (additional_environment)")
    return found


def _outputs(known: Known, place: Place, result: re_pb.ActionResult | None) -> list[dict[str, Any]]:
    """The declared outputs, each with its digest where it is a file, and whether the cached result has the same."""
    from nlserver.reapi.action import outputs_of
    from nlserver.reapi.digest import digest_of

    from nlctl.resolve import of_file

    function = known.digest.function
    cached = {one.path: digest_of(one.digest, function) for one in result.output_files} if result else {}
    rows = []
    for declared, path in outputs_of(known.command).paths:
        at = place.root / path
        digest = of_file(at, function) if at.is_file() and not at.is_symlink() else None
        same = digest == cached[declared] if digest and declared in cached else None
        kind = "missing" if not at.exists() else "directory" if at.is_dir() else "file"
        rows.append(
            {"path": declared, "kind": kind, "digest": as_json(digest) if digest else None, "same_as_cached": same}
        )
    return rows


def _say(session: Session, item: dict[str, Any], place: Place) -> None:
    status = item["exit_code"]
    session.ui.say(f"ended with {status}" if status >= 0 else f"ended by signal {-status}")
    for one in item["outputs"]:
        same = {True: "as the cached result has it", False: "unlike the cached result", None: ""}[one["same_as_cached"]]
        digest = session.ui.digest(one["digest"]) if one["digest"] else ""
        session.ui.say("  ".join(filter(None, (one["path"], one["kind"], digest, same))))
    if item["directory"]:
        session.ui.say(f"its directory stays: {place.root}")

"""`nlctl ac put`: a result for an action."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import DANGLING, USAGE, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import single, unreadable
from nlctl.session import Session

if TYPE_CHECKING:
    from nlserver.proto import remote_execution_pb2 as re_pb

EPILOG = """\b
Examples:
  nlctl ac put 44f1c2aa --exit-code 0 --file a.o=file:a.o
  nlctl ac get @last -O r.bin && nlctl -C ci ac put @last --result r.bin
\b
Exit status: 0 stored, 2 bad arguments, 3 something it names is missing, 4 unreachable, 8 the cache is read-only
"""
_SHOWN = 5


def command(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(help="The Action: HASH/SIZE, first digits, @last, any text, or -.")],
    result: Annotated[Path | None, typer.Option(help="A serialised ActionResult, as `ac get -O` writes it.")] = None,
    exit_code: Annotated[int | None, typer.Option(help="How the command ended.")] = None,
    file: Annotated[list[str] | None, typer.Option(help="PATH=DIGEST of an output file; may be repeated.")] = None,
    tree: Annotated[list[str] | None, typer.Option(help="PATH=DIGEST of an output's Tree; may be repeated.")] = None,
    stdout: Annotated[str, typer.Option(help="Digest of what it wrote.")] = "",
    stderr: Annotated[str, typer.Option(help="Digest of what it complained.")] = "",
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Do not look for what it names.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Check, but store nothing.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Put a result into the action cache: from a file, or made of its parts.

    Everything that it names, and the action itself, must be in the CAS. Whoever may write here decides what others
    get in place of a build: use it with care.
    """
    session: Session = ctx.obj
    function = Function.BLAKE3 if blake3 else Function.SHA256
    wanted = single(session, action, function)
    made = (result is not None) + (exit_code is not None)
    if made != 1 or (result and (file or tree or stdout or stderr)):
        raise Fault(
            USAGE,
            "say what the result is",
            fixes=[fix("give either --result FILE, or --exit-code N with --file and --tree")],
        )
    if result is not None:
        found = _read(result)
    else:
        found = _made(session, exit_code or 0, file or (), tree or (), (stdout, stderr), function)
    count = session.wait_for(_put(session, wanted, found, unchecked=unchecked, dry=dry_run))
    from nlctl import decoded

    item = {
        "action": as_json(wanted),
        "dry_run": dry_run,
        "checked": count,
        "result": decoded.result(found, function),
    }
    session.ui.say(f"{'would store' if dry_run else 'stored'} a result that names {count} blobs")
    session.ui.item("nlctl.ac.put/v1", item, "", name=wanted.written)
    return Exit.OK


def _read(path: Path) -> re_pb.ActionResult:
    from nlserver.proto import remote_execution_pb2 as re_pb

    from nlctl.decoded import Form, decode

    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    found = decode(Form.RESULT, data).message
    assert isinstance(found, re_pb.ActionResult)
    return found


def _made(
    session: Session,
    exit_code: int,
    files: Sequence[str],
    trees: Sequence[str],
    streams: tuple[str, str],
    function: Function,
) -> re_pb.ActionResult:
    from nlserver.proto import remote_execution_pb2 as re_pb
    from nlserver.reapi.tree import set_digest

    found = re_pb.ActionResult(exit_code=exit_code)
    for path, digest in _pairs(session, files, "--file", function):
        set_digest(found.output_files.add(path=path).digest, digest)
    for path, digest in _pairs(session, trees, "--tree", function):
        set_digest(found.output_directories.add(path=path).tree_digest, digest)
    for text, message in zip(streams, (found.stdout_digest, found.stderr_digest), strict=True):
        if text:
            set_digest(message, single(session, text, function))
    return found


def _pairs(session: Session, words: Sequence[str], option: str, function: Function) -> list[tuple[str, Digest]]:
    made = []
    for word in words:
        path, equals, text = word.partition("=")
        if not equals or not path:
            raise Fault(USAGE, f"{option} {word!r} is no PATH=DIGEST", fixes=[fix(f"write {option} a.o=HASH/SIZE")])
        made.append((path, single(session, text, function)))
    return made


async def _put(session: Session, action: Digest, found: re_pb.ActionResult, *, unchecked: bool, dry: bool) -> int:
    from nlctl import objects
    from nlctl.remote import client

    async with client(session.target(), action.function) as remote:
        parts = await objects.parts(remote, found, action.function)
        if not unchecked:
            gone = [one.digest for one in await objects.absent(remote, parts)]
            gone += await remote.missing([action])
            if gone:
                raise _dangling(action, gone)
        if not dry:
            await remote.update_action_result(action, found)
        return len(parts)


def _dangling(action: Digest, gone: Sequence[Digest]) -> Fault:
    names = ", ".join(one.written for one in gone[:_SHOWN])
    what = "the action itself is missing" if list(gone) == [action] else f"it names {len(gone)} missing blobs"
    return Fault(
        DANGLING,
        f"this result is not stored: {what}",
        why=names + (", ..." if len(gone) > _SHOWN else ""),
        fixes=[fix("upload them first", "nlctl", "cas", "put", "PATH"), fix("or add --unchecked")],
    )

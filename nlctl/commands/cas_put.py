"""`nlctl cas put`: upload files and directories."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import UNREADABLE, Fault, fix
from nlctl.recents import as_json, remember
from nlctl.resolve import of_file
from nlctl.session import Session
from nlctl.ui import Column, human_bytes

if TYPE_CHECKING:
    from nlserver.reapi.blobs import Blobs
    from nlserver.reapi.uploads import Source

EPILOG = """\b
Examples:
  nlctl cas put a.out b.so
  nlctl cas put src/                  a directory, as an input root
  tar c . | nlctl cas put -q -        only the digest, for scripts
  nlctl cas put --no-upload a.out     only tell the digest
\b
Exit status: 0 all are there, 2 a path cannot be read, 4 unreachable, 8 the CAS is read-only
"""
_COLUMNS = (
    Column("DIGEST", "digest"),
    Column("PATH", "path"),
    Column("STATE", "state"),
    Column("SENT", "uploaded_bytes", human_bytes),
)
_CHUNK = 1 << 20


def command(
    ctx: typer.Context,
    path: Annotated[list[str], typer.Argument(help="Files, directories, or - for standard input.")],
    tree: Annotated[
        bool, typer.Option("--tree", help="Of directories also the Tree, as output directories have.")
    ] = False,
    no_upload: Annotated[bool, typer.Option("--no-upload", help="Compute digests, and ask no server.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Ask what is missing, and upload nothing.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Name the blobs by BLAKE3.")] = False,
) -> int:
    """Upload what the CAS lacks of these, and tell their digests; that of a directory is its root Directory's.

    Symbolic links stay links and are never followed. Of a file's mode its owner's executable bit is kept.
    """
    session: Session = ctx.obj
    function = Function.BLAKE3 if blake3 else Function.SHA256
    _check(path)
    manner = "computed" if no_upload else "asked" if dry_run else "sent"
    rows = session.wait_for(_put(session, path, function, tree=tree, manner=manner))
    session.ui.items("nlctl.cas.put/v1", [{**row, "digest": as_json(row["digest"])} for row in rows], _COLUMNS)
    for row in reversed(rows):
        remember(session.state, "put", {"blob": row["digest"]})
    if not no_upload:
        sent = sum(row["uploaded_bytes"] for row in rows)
        verb = "would upload" if dry_run else "uploaded"
        session.ui.say(f"{verb} {human_bytes(sent)}" + ("" if sent else ": everything was there already"))
    return Exit.OK


def _check(paths: Sequence[str]) -> None:
    for path in paths:
        if path != "-" and not Path(path).exists():
            raise Fault(
                UNREADABLE, f"{path} cannot be read", why="there is no such file", fixes=[fix("check the path")]
            )


async def _put(
    session: Session, paths: Sequence[str], function: Function, *, tree: bool, manner: str
) -> list[dict[str, Any]]:
    if manner == "computed":
        return [row for path in paths for row in await _one(None, path, function, tree=tree, manner=manner)]
    from nlctl.remote import client

    async with client(session.target(), function) as remote:
        rows = []
        for path in paths:
            session.ui.waiting(f"uploading {path}")
            rows += await _one(remote.blobs, path, function, tree=tree, manner=manner)
        session.ui.waiting("")
    return rows


async def _one(blobs: Blobs | None, path: str, function: Function, *, tree: bool, manner: str) -> list[dict[str, Any]]:
    if path == "-":
        with _spooled() as file:
            return [await _file(blobs, path, file, function, manner)]
    if Path(path).is_dir():
        return await _directory(blobs, path, function, tree=tree, manner=manner)
    return [await _file(blobs, path, Path(path), function, manner)]


@contextmanager
def _spooled() -> Iterator[Path]:
    """Standard input as a file: its digest is needed before its first byte can be sent."""
    with tempfile.NamedTemporaryFile(prefix="nlctl-") as kept:
        while data := sys.stdin.buffer.read(_CHUNK):
            kept.write(data)
        kept.flush()
        yield Path(kept.name)


async def _file(blobs: Blobs | None, path: str, file: Path, function: Function, manner: str) -> dict[str, Any]:
    digest = of_file(file, function)
    return _row(digest, path, "file", await _sent(blobs, {digest: file}, manner), 1, manner)


async def _directory(
    blobs: Blobs | None, path: str, function: Function, *, tree: bool, manner: str
) -> list[dict[str, Any]]:
    from nlserver.fs import in_thread
    from nlserver.reapi.capture import capture
    from nlserver.reapi.tree import tree_blob

    found = await in_thread(capture, Path(path), function)
    sent = await _sent(blobs, found.blobs, manner)
    rows = [_row(found.root, path, "directory", sent, found.files, manner)]
    if tree:
        directories = {digest: data for digest, data in found.blobs.items() if isinstance(data, bytes)}
        blob = tree_blob(found.root, directories)
        sent = await _sent(blobs, {blob.digest: blob.data}, manner)
        rows.append(_row(blob.digest, path, "tree", sent, found.files, manner))
    return rows


async def _sent(blobs: Blobs | None, sources: dict[Digest, Source], manner: str) -> int:
    """The bytes that were, or would be, sent."""
    from nlserver.reapi.uploads import upload

    if blobs is None:
        return 0
    if manner == "asked":
        return sum(digest.size_bytes for digest in await blobs.missing(sources))
    return (await upload(blobs, sources)).uploaded_bytes


def _row(digest: Digest, path: str, kind: str, uploaded: int, files: int, manner: str) -> dict[str, Any]:
    if manner == "computed":
        state = "computed"
    elif uploaded:
        state = "uploaded" if manner == "sent" else "missing"
    else:
        state = "already there"
    return {"digest": digest, "path": path, "kind": kind, "files": files, "uploaded_bytes": uploaded, "state": state}

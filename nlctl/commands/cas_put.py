"""`nlctl cas put`: upload files and directories."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function, of

from nlctl.exits import Exit
from nlctl.faults import UNREADABLE, Fault, fix
from nlctl.recents import as_json, remember
from nlctl.resolve import of_file
from nlctl.session import Session, Target
from nlctl.ui import Column, human_bytes

EPILOG = """\b
Examples:
  nlctl cas put a.out b.so
  nlctl cas put src/                  a directory, as an input root
  tar c . | nlctl cas put -q -        only the digest, for scripts
\b
Exit status: 0 all are there, 2 a path cannot be read, 4 unreachable
"""
_COLUMNS = (
    Column("DIGEST", "digest"),
    Column("PATH", "path"),
    Column("KIND", "kind"),
    Column("UPLOADED", "uploaded_bytes", human_bytes),
)


def command(
    ctx: typer.Context,
    path: Annotated[list[str], typer.Argument(help="Files, directories, or - for standard input.")],
    blake3: Annotated[bool, typer.Option("--blake3", help="Name the blobs by BLAKE3.")] = False,
) -> int:
    """Upload what the CAS lacks of these, and tell their digests; that of a directory is its root Directory's."""
    session: Session = ctx.obj
    function = Function.BLAKE3 if blake3 else Function.SHA256
    _check(path)
    rows = session.wait_for(_put(session.target(), path, function))
    session.ui.items("nlctl.cas.put/v1", [{**row, "digest": as_json(row["digest"])} for row in rows], _COLUMNS)
    for row in reversed(rows):
        remember(session.state, "put", {"blob": row["digest"]})
    sent = sum(row["uploaded_bytes"] for row in rows)
    session.ui.say(f"uploaded {human_bytes(sent)}" + ("" if sent else ": everything was there already"))
    return Exit.OK


def _check(paths: Sequence[str]) -> None:
    for path in paths:
        if path != "-" and not Path(path).exists():
            raise Fault(
                UNREADABLE, f"{path} cannot be read", why="there is no such file", fixes=[fix("check the path")]
            )


async def _put(target: Target, paths: Sequence[str], function: Function) -> list[dict[str, Any]]:
    from nlctl.remote import client

    rows = []
    async with client(target, function) as remote:
        for path in paths:
            source = sys.stdin.buffer.read() if path == "-" else Path(path)
            if isinstance(source, Path) and source.is_dir():
                rows.append(await _tree(remote, source))
            else:
                rows.append(await _blob(remote, path, source, function))
    return rows


async def _tree(remote: Any, source: Path) -> dict[str, Any]:
    from nlserver.reapi.client import TreeUploaded

    done: list[TreeUploaded] = []
    root = await remote.upload_tree(source, on_done=done.append)
    return _row(root, str(source), "directory", done[0].blobs.uploaded_bytes, done[0].files)


async def _blob(remote: Any, path: str, source: bytes | Path, function: Function) -> dict[str, Any]:
    digest = of(source, function) if isinstance(source, bytes) else of_file(source, function)
    absent = await remote.missing([digest])
    if absent:
        await remote.upload([source])
    return _row(digest, path, "file", digest.size_bytes if absent else 0, 1)


def _row(digest: Digest, path: str, kind: str, uploaded: int, files: int) -> dict[str, Any]:
    return {"digest": digest, "path": path, "kind": kind, "files": files, "uploaded_bytes": uploaded}

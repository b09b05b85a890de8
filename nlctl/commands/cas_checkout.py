"""`nlctl cas checkout`: a directory of the CAS as a directory of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import BLOB_MISSING, PATH_TAKEN, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import single, unreadable
from nlctl.session import Session
from nlctl.ui import human_bytes

if TYPE_CHECKING:
    from nlserver.reapi.client import Client

    from nlctl.trees import Loaded, Total

EPILOG = """\b
Examples:
  nlctl cas checkout @last inputs          the inputs of the last action
  nlctl cas checkout 9a7e0f21 src --dry-run
\b
Exit status: 0 written, 3 something is missing, 4 unreachable, 7 DIR is taken, 9 damaged, 13 it is no directory
"""
_SHOWN = 3


def command(
    ctx: typer.Context,
    digest: Annotated[str, typer.Argument(help="A Directory, a Tree, or an Action for its inputs.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only look whether all is there.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Write a directory of the CAS. DIR appears when all of it is there and verified, or not at all.

    Executable files are executable; symbolic links are made as they are, wherever they lead, and never followed.
    """
    session: Session = ctx.obj
    wanted = single(session, digest, Function.BLAKE3 if blake3 else Function.SHA256)
    _free(directory)
    tree, total = session.wait_for(_written(session, wanted, directory, dry=dry_run))
    item = {
        "digest": as_json(wanted),
        "root": as_json(tree.root),
        "path": str(directory),
        "dry_run": dry_run,
        "files": total.files,
        "directories": total.directories,
        "symlinks": total.symlinks,
        "size_bytes": total.size_bytes,
    }
    counts = f"{total.files} files, {total.directories} directories, {human_bytes(total.size_bytes)}"
    session.ui.say(f"would write {directory} ({counts})" if dry_run else f"wrote {directory} ({counts}, verified)")
    session.ui.item("nlctl.cas.checkout/v1", item, "", name=str(directory))
    return Exit.OK


def _free(directory: Path) -> None:
    try:
        taken = os.path.lexists(directory) and (directory.is_symlink() or bool(os.listdir(directory)))
    except NotADirectoryError:
        taken = True
    except OSError as error:
        raise unreadable(directory, error) from error
    if taken:
        raise Fault(
            PATH_TAKEN,
            f"{directory} is taken",
            why="a checkout never mixes with what is there",
            fixes=[fix("name a directory that does not exist, or an empty one")],
        )


async def _written(session: Session, wanted: Digest, directory: Path, *, dry: bool) -> tuple[Loaded, Total]:
    from nlserver.reapi.tree import Tree
    from nlserver.store import Missing

    from nlctl import objects
    from nlctl.remote import client
    from nlctl.trees import totals

    async with client(session.target(), wanted.function) as remote:
        tree = await objects.tree(remote, wanted)
        if tree.absent or dry:
            await _complete(remote, tree)
        total = totals(tree)[tree.root]
        if not dry:
            session.ui.waiting(f"fetching {total.files} files, {human_bytes(total.size_bytes)}")
            try:
                await remote.download_tree(Tree(tree.root, tree.directories), directory)
            except Missing:
                # All that is missing says more than what was met first.
                await _complete(remote, tree)
                raise
            session.ui.waiting("")
        return tree, total


async def _complete(remote: Client, tree: Loaded) -> None:
    missing = [*tree.absent, *await remote.missing(tree.files())]
    if missing:
        raise _incomplete(missing)


def _incomplete(missing: list[Digest]) -> Fault:
    names = ", ".join(one.written for one in missing[:_SHOWN])
    first = missing[0].written
    return Fault(
        BLOB_MISSING,
        f"{len(missing)} blobs of this tree are missing" if len(missing) > 1 else "a blob of this tree is missing",
        why=f"FindMissingBlobs lists {names}" + (" and more" if len(missing) > _SHOWN else ""),
        fixes=[
            fix("see which store lost it", "nlctl", "cas", "why", first),
            fix("bring it back from where it still is", "nlctl", "cas", "heal", first, "--dry-run"),
        ],
    )

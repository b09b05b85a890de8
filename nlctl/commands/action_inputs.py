"""`nlctl action inputs`: everything that an action is given, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.actions import read
from nlctl.exits import Exit
from nlctl.faults import BLOB_MISSING, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import single
from nlctl.session import Session
from nlctl.ui import Column, human_bytes

if TYPE_CHECKING:
    from nlctl.trees import Loaded, Node

EPILOG = """\b
Examples:
  nlctl action inputs @last
  nlctl action inputs 44f1c2aa -o tsv | sort -k2 -n | tail
  nlctl action inputs @last -q                 paths alone
\b
Exit status: 0 listed, 2 no digest in the text, 3 something is missing, 4 unreachable, 13 it is no action
"""
_COLUMNS = (
    Column("PATH", "path"),
    Column("SIZE", "size_bytes", human_bytes),
    Column("DIGEST", "digest"),
    Column("KIND", "kind"),
    Column("TARGET", "target"),
)


def command(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(help="The Action: HASH/SIZE, first digits, @last, any text, or -.")],
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """List the inputs of an action with their sizes and digests, by path. `nlctl cas tree` draws them.

    The size of a directory is that of the files below it.
    """
    session: Session = ctx.obj
    wanted = single(session, action, Function.BLAKE3 if blake3 else Function.SHA256)
    tree = session.wait_for(_tree(session, wanted))
    from nlctl.trees import nodes, totals

    sums = totals(tree)
    total = sums[tree.root]
    facts = {
        "action": as_json(wanted),
        "root": as_json(tree.root),
        "files": total.files,
        "directories": total.directories,
        "size_bytes": total.size_bytes,
    }
    session.ui.items("nlctl.action.inputs/v1", map(_row, nodes(tree, sums)), _COLUMNS, facts=facts)
    if tree.absent:
        first = sorted(tree.absent)[0]
        name = first.written
        raise Fault(
            BLOB_MISSING,
            f"{len(tree.absent)} directories of these inputs are missing, the first is {name}",
            why="what they hold is not listed",
            fixes=[fix("see which store lost it", "nlctl", "cas", "why", name)],
        )
    return Exit.OK


async def _tree(session: Session, wanted: Digest) -> Loaded:
    from nlctl import objects
    from nlctl.remote import client

    async with client(session.target(), wanted.function) as remote:
        known = await read(remote, wanted)
        return await objects.tree(remote, known.inputs)


def _row(node: Node) -> dict[str, Any]:
    return {
        "path": node.path,
        "kind": node.kind,
        "digest": as_json(node.digest) if node.digest else None,
        "size_bytes": node.size_bytes,
        "executable": node.executable,
        "target": node.target,
    }

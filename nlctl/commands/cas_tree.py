"""`nlctl cas tree`: what is in a directory of the CAS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import BLOB_MISSING, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import single
from nlctl.session import Session
from nlctl.ui import Column, Ui, human_bytes

if TYPE_CHECKING:
    from nlctl.trees import Loaded, Node, Total

EPILOG = """\b
Examples:
  nlctl cas tree @last --sizes              the inputs of the last action
  nlctl cas tree 9a7e0f21 --depth 1 --check
  nlctl cas tree @last.input -o tsv | cut -f1
\b
Exit status: 0 shown, 2 no digest in the text, 3 something is missing, 4 unreachable, 13 it is no directory
"""
_COLUMNS = (
    Column("PATH", "path"),
    Column("KIND", "kind"),
    Column("DIGEST", "digest"),
    Column("SIZE", "size_bytes", human_bytes),
    Column("MISSING", "missing"),
    Column("TARGET", "target"),
)
_BAR = 12
_SHOWN = 3


def command(
    ctx: typer.Context,
    digest: Annotated[str, typer.Argument(help="A Directory, a Tree, or an Action for its inputs.")],
    depth: Annotated[int | None, typer.Option(help="Show so many levels; missing nodes always.", min=0)] = None,
    sizes: Annotated[bool, typer.Option("--sizes", help="Show what each part holds, and its share.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Ask for every file whether it is there.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Draw a directory of the CAS; in a pipe one line for each entry.

    Directories that the CAS lacks are always found; with --check it is also asked for the files.
    """
    session: Session = ctx.obj
    wanted = single(session, digest, Function.BLAKE3 if blake3 else Function.SHA256)
    seen = session.wait_for(_seen(session, wanted, check))
    from nlctl.trees import nodes

    shown = list(nodes(seen.tree, seen.sums, seen.missing, depth))
    total = seen.sums[seen.tree.root]
    facts = {
        "digest": as_json(wanted),
        "root": as_json(seen.tree.root),
        "size_bytes": total.size_bytes,
        "files": total.files,
        "directories": total.directories,
        "symlinks": total.symlinks,
        "checked": check,
        "missing_nodes": seen.count_missing,
    }
    if session.ui.format == "table" and not session.ui.quiet:
        for line in _drawing(session.ui, seen, shown, sizes=sizes):
            session.ui.text(line)
    else:
        session.ui.items("nlctl.cas.tree/v1", map(_row, shown), _COLUMNS, facts=facts)
    if seen.count_missing:
        raise _broken(seen, total)
    return Exit.OK


@dataclass(frozen=True)
class _Seen:
    tree: Loaded
    sums: dict[Digest, Total]
    missing: frozenset[Digest]

    @property
    def count_missing(self) -> int:
        """How many different files and directories the CAS lacks."""
        return len(self.missing) + len(self.tree.absent)


async def _seen(session: Session, wanted: Digest, check: bool) -> _Seen:
    from nlctl import objects
    from nlctl.remote import client
    from nlctl.trees import totals

    async with client(session.target(), wanted.function) as remote:
        tree = await objects.tree(remote, wanted)
        missing = frozenset(await remote.missing(tree.files())) if check else frozenset[Digest]()
    return _Seen(tree, totals(tree, missing), missing)


def _row(node: Node) -> dict[str, Any]:
    return {
        "path": node.path,
        "kind": node.kind,
        "digest": as_json(node.digest) if node.digest else None,
        "size_bytes": node.size_bytes,
        "files": node.files,
        "executable": node.executable,
        "target": node.target,
        "missing": node.missing,
    }


def _drawing(ui: Ui, seen: _Seen, shown: Sequence[Node], *, sizes: bool) -> list[str]:
    from nlctl.trees import rails

    total = seen.sums[seen.tree.root]
    counts = f"{human_bytes(total.size_bytes)}   {total.files} files, {total.directories} directories"
    drawn = [f"{ui.digest(as_json(seen.tree.root))}   {counts}"]
    names = [f"{rails(node.ends)}{node.name}{_mark(node)}" for node in shown]
    width = max(map(len, names), default=0)
    for name, node in zip(names, shown, strict=True):
        fields = [name.ljust(width), _said(ui, node)]
        if sizes and node.size_bytes is not None and node.kind != "symlink":
            fields.append(_size(node.size_bytes, total.size_bytes))
        drawn.append("  ".join(fields).rstrip())
    return drawn


def _mark(node: Node) -> str:
    return {"directory": "/", "file": "*" if node.executable else "", "symlink": ""}[node.kind]


def _said(ui: Ui, node: Node) -> str:
    if node.digest is None:
        return f"-> {node.target}"
    name = ui.digest(as_json(node.digest))
    return f"MISSING {name} {ui.mark(False)}" if node.missing else name


def _size(size: int, of: int) -> str:
    from nlctl.trees import bar

    share = size / of if of else 0.0
    return f"{human_bytes(size):>9}  {share:>4.0%}  {bar(share, _BAR)}"


def _broken(seen: _Seen, total: Total) -> Fault:
    gone = [*sorted(seen.tree.absent), *sorted(seen.missing)]
    names = ", ".join(one.written for one in gone[:_SHOWN])
    more = f", and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
    first = gone[0].written
    return Fault(
        BLOB_MISSING,
        f"{len(gone)} blobs of this tree are missing" if len(gone) > 1 else "a blob of this tree is missing",
        why=f"FindMissingBlobs lists {names}{more}",
        fixes=[
            fix("see which store lost it", "nlctl", "cas", "why", first),
            fix("bring it back from where it still is", "nlctl", "cas", "heal", first, "--dry-run"),
        ],
    )

"""`nlctl cas diff`: where two directories, messages or files differ."""

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
from nlctl.ui import Column, human_bytes

if TYPE_CHECKING:
    from nlserver.reapi.client import Client

    from nlctl.decoded import Decoded
    from nlctl.trees import Change, Loaded, Node

EPILOG = """\b
Examples:
  nlctl cas diff @last @2 -o tsv             the Actions of the last two runs, field by field
  nlctl cas diff 9a7e0f21 c3d1aa02           two directories
  nlctl cas diff file:a.txt @last.stdout
\b
Exit status: 0 equal, 2 no digest in the text, 3 one is missing, 4 unreachable, 12 they differ
"""
_COLUMNS = (Column("CHANGE", "change"), Column("PATH", "path"), Column("BEFORE", "before"), Column("AFTER", "after"))
_MOST_TEXT = 1 << 20
_MOST_LINES = 20_000


def command(
    ctx: typer.Context,
    before: Annotated[str, typer.Argument(metavar="D1", help="HASH/SIZE, first digits, @last, file:PATH, any text.")],
    after: Annotated[str, typer.Argument(metavar="D2", help="The other one.")],
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Compare two blobs by what they are: directories by their entries, other messages by their fields, text by lines.

    Directories that are equal by their digest are not entered, so that large trees compare in a moment.
    """
    session: Session = ctx.obj
    function = Function.BLAKE3 if blake3 else Function.SHA256
    left, right = single(session, before, function), single(session, after, function)
    found = _Compared("equal") if left == right else session.wait_for(_compared(session, left, right))
    facts = {"before": as_json(left), "after": as_json(right), "type": found.kind, "diff": found.text}
    ui = session.ui
    if found.text and not ui.structured and not ui.quiet:
        for line in found.text.splitlines():
            ui.text(line)
    else:
        ui.items("nlctl.cas.diff/v1", found.rows, _COLUMNS, facts=facts)
    if left == right:
        ui.say("they are equal")
        return Exit.OK
    ui.say(found.note or f"{len(found.rows)} differences")
    return Exit.DIFFERS


@dataclass(frozen=True)
class _Compared:
    kind: str
    rows: Sequence[dict[str, Any]] = ()
    text: str | None = None
    note: str = ""


async def _compared(session: Session, left: Digest, right: Digest) -> _Compared:
    from nlctl import objects
    from nlctl.decoded import Form
    from nlctl.remote import client

    async with client(session.target(), left.function) as remote:
        one, other = await objects.looked_at(remote, left), await objects.looked_at(remote, right)
        if one is None or other is None:
            return await _bytes(remote, left, right)
        trees = (Form.DIRECTORY, Form.TREE)
        if one.form in trees and other.form in trees:
            first = await objects.tree_in(remote, left, one)
            return _trees(first, await objects.tree_in(remote, right, other))
        return _fields(one, other)


def _trees(before: Loaded, after: Loaded) -> _Compared:
    from nlctl.trees import changes

    for tree in (before, after):
        if tree.absent:
            raise _incomplete(next(iter(tree.absent)))
    return _Compared("tree", [_row(change) for change in changes(before, after)], note="")


def _incomplete(absent: Digest) -> Fault:
    name = absent.written
    why = fix("see which store lost it", "nlctl", "cas", "why", name)
    return Fault(BLOB_MISSING, f"directory {name} is not in the CAS", why="what it holds is not known", fixes=[why])


def _row(change: Change) -> dict[str, Any]:
    return {"path": change.path, "change": change.what, "before": _side(change.before), "after": _side(change.after)}


def _side(node: Node | None) -> Any:
    if node is None:
        return None
    if node.digest is None:
        return {"kind": node.kind, "target": node.target}
    return {"kind": f"{node.kind}{' (executable)' if node.executable else ''}", "digest": as_json(node.digest)}


def _fields(one: Decoded, other: Decoded) -> _Compared:
    from nlctl.differences import differences

    rows = [
        {"path": found.field, "change": _what(found.before, found.after), "before": found.before, "after": found.after}
        for found in differences(one.document, other.document)
    ]
    return _Compared("fields", rows)


def _what(before: Any, after: Any) -> str:
    if before is None:
        return "added"
    return "removed" if after is None else "content"


async def _bytes(remote: Client, left: Digest, right: Digest) -> _Compared:
    from nlctl.decoded import is_text

    if max(left.size_bytes, right.size_bytes) <= _MOST_TEXT:
        one, other = await remote.read(left), await remote.read(right)
        lines = one.count(b"\n") + other.count(b"\n")
        if is_text(one) and is_text(other) and lines <= _MOST_LINES:
            return _Compared("text", [_whole(left, right)], _unified(one, other, left, right), "their lines differ")
    at = await _first_difference(remote, left, right)
    note = f"they differ from byte {at} on: {human_bytes(left.size_bytes)} and {human_bytes(right.size_bytes)}"
    return _Compared("bytes", [_whole(left, right)], note=note)


def _whole(left: Digest, right: Digest) -> dict[str, Any]:
    return {"path": "", "change": "content", "before": as_json(left), "after": as_json(right)}


def _unified(one: bytes, other: bytes, left: Digest, right: Digest) -> str:
    import difflib

    before, after = (data.decode().splitlines() for data in (one, other))
    old, new = (digest.written for digest in (left, right))
    return "\n".join(difflib.unified_diff(before, after, old, new, lineterm=""))


async def _first_difference(remote: Client, left: Digest, right: Digest) -> int:
    """The first byte in which they differ, read side by side."""
    from contextlib import aclosing

    at, one, other = 0, b"", b""
    async with aclosing(remote.stream(left)) as lefts, aclosing(remote.stream(right)) as rights:
        while True:
            one = one or await anext(lefts, b"")
            other = other or await anext(rights, b"")
            size = min(len(one), len(other))
            if not size:
                return at
            if one[:size] != other[:size]:
                return at + next(n for n in range(size) if one[n] != other[n])
            at, one, other = at + size, one[size:], other[size:]

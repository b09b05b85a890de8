"""`nlctl action diff`: why two actions do not share an entry of the action cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.actions import read
from nlctl.exits import Exit
from nlctl.recents import as_json
from nlctl.resolve import single
from nlctl.session import Session
from nlctl.ui import Column, short_digest

if TYPE_CHECKING:
    from nlctl.cachekeys import Comparison, Difference
    from nlctl.trees import Loaded

EPILOG = """\b
Examples:
  nlctl action diff @2 @last
  nlctl action diff 44f1c2aa 9d03be11 -o json | jq '.items[].part'
\b
Exit status: 0 the same action, 2 no digest in the text, 3 one is missing, 4 unreachable, 12 they differ, 13 no action
"""
_MARK = "this alone changes the key"
_TOLD = ("arguments", "env", "platform", "inputs", "output_paths", "working_directory", "salt")
"""The parts that people ask for; the document names all that are the same."""


def command(
    ctx: typer.Context,
    first: Annotated[str, typer.Argument(help="An Action: HASH/SIZE, first digits, @last, any text.")],
    second: Annotated[str, typer.Argument(help="The other one.")],
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Compare two actions field by field: command, environment, platform, limits, and the inputs down to the file.

    Every byte of these is part of the key in the action cache. What is the only difference is marked.
    """
    session: Session = ctx.obj
    function = Function.BLAKE3 if blake3 else Function.SHA256
    pair = single(session, first, function), single(session, second, function)
    found = session.wait_for(_compared(session, *pair))
    facts = {
        "before": as_json(pair[0]),
        "after": as_json(pair[1]),
        "same": list(found.same),
        "same_in_other_bytes": found.encoding,
    }
    rows = [_row(one, decisive=one is found.decisive) for one in found.differences]
    session.ui.items("nlctl.action.diff/v1", rows, _COLUMNS, facts=facts)
    _say(session, pair, found)
    return Exit.OK if pair[0] == pair[1] else Exit.DIFFERS


async def _compared(session: Session, first: Digest, second: Digest) -> Comparison:
    from nlctl import objects
    from nlctl.cachekeys import compare
    from nlctl.remote import client

    async with client(session.target(), first.function) as remote:
        before, after = await read(remote, first), await read(remote, second)
        trees: dict[Digest, Loaded] = {}
        for root in {before.inputs, after.inputs} if before.inputs != after.inputs else ():
            trees[root] = await objects.tree(remote, root)
    nothing = _empty(before.inputs)
    return compare(before, after, trees.get(before.inputs, nothing), trees.get(after.inputs, nothing))


def _empty(root: Digest) -> Loaded:
    """Stands for both trees where they are the same."""
    from nlctl.trees import Loaded

    return Loaded(root, {})


def _row(difference: Difference, *, decisive: bool) -> dict[str, Any]:
    return {
        "part": f"{difference.kind} {difference.name}".rstrip(),
        "kind": difference.kind,
        "name": difference.name or None,
        "before": difference.before,
        "after": difference.after,
        "note": difference.note or None,
        "alone_changes_the_key": decisive,
    }


def _shown(value: Any) -> str:
    match value:
        case None:
            return "-"
        case Mapping():
            return short_digest(value)
        case list():
            return " ".join(map(str, value))
        case bool():
            return "yes" if value else "no"
    return str(value) if str(value) else '""'


_COLUMNS = (
    Column("PART", "part"),
    Column("FIRST", "before", _shown),
    Column("SECOND", "after", _shown),
    Column("NOTE", "note"),
    Column("", "alone_changes_the_key", lambda alone: f"<- {_MARK}" if alone else " "),
)


def _say(session: Session, pair: tuple[Digest, Digest], found: Comparison) -> None:
    if pair[0] == pair[1]:
        session.ui.say("It is one and the same action.")
    elif found.encoding:
        session.ui.say("Both say the same in other bytes: in another order, or with fields that are not known here.")
    else:
        count = len(found.differences)
        same = ", ".join(name for name in _TOLD if name in found.same)
        session.ui.say(f"{count} difference{'' if count == 1 else 's'}. Same: {same or 'nothing else'}.")

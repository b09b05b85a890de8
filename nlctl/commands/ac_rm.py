"""`nlctl ac rm`: let action caches forget results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from nlserver.reapi.digest import Function

from nlctl.exits import Exit
from nlctl.faults import NO_RESULT, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import digests
from nlctl.session import Session
from nlctl.ui import Column, human_bytes

EPILOG = """\b
Examples:
  nlctl ac rm @last
  nlctl ac rm 44f1c2aa --yes
\b
Exit status: 0 removed, 2 nobody could be asked, 3 there is no result, 4 no cluster is running, 10 not with this server
"""
_COLUMNS = (
    Column("ACTION", "action"),
    Column("STORE", "store"),
    Column("HOLDS", "size_bytes", human_bytes),
    Column("REMOVED", "removed"),
)


def command(
    ctx: typer.Context,
    action: Annotated[list[str], typer.Argument(help="Actions: HASH/SIZE, first digits, @last, any text, or -.")],
    store: Annotated[str, typer.Option(help="From this layer alone: PART:STORE/LAYER.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show where they are.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Remove the results of actions, so that they run again. It asks first; where nobody can be asked it needs --yes.

    Outputs stay in the CAS. The Remote Execution API has no such call: this needs the admin service.
    """
    session: Session = ctx.obj
    wanted = digests(session, action, Function.BLAKE3 if blake3 else Function.SHA256)
    from nlctl import removal

    parts = session.parts(instead=fix("run it again without the cache", "nlctl", "run", "--no-cache", "--", "CMD"))
    found = removal.places(parts, wanted, "ac", store, everywhere=False)
    if not found:
        look = fix("see every layer", "nlctl", "cas", "why", wanted[0].written)
        raise Fault(NO_RESULT, "no store has a result of these", why="each layer was asked by itself", fixes=[look])
    count = removal.count(found, "result")
    if not dry_run:
        session.confirm(f"This removes {count}", "remove")
    gone: Sequence[bool | None] = [None] * len(found) if dry_run else removal.remove(parts, found)
    rows = [
        {"action": as_json(one.digest), "store": one.layer.name, "size_bytes": one.size_bytes, "removed": was}
        for one, was in zip(found, gone, strict=True)
    ]
    session.ui.items("nlctl.ac.rm/v1", rows, _COLUMNS, facts={"dry_run": dry_run})
    session.ui.say(f"{'would remove' if dry_run else 'removed'} {count}")
    return Exit.OK

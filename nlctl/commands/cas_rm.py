"""`nlctl cas rm`: let stores forget blobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from nlserver.reapi.digest import Function

from nlctl.exits import Exit
from nlctl.faults import BLOB_MISSING, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import digests
from nlctl.session import Session
from nlctl.ui import Column, human_bytes

EPILOG = """\b
Examples:
  nlctl cas rm 7fd25e01 --dry-run
  nlctl cas rm @last.stdout --everywhere --yes
\b
Exit status: 0 removed, 2 nobody could be asked, 3 no store has it, 4 no cluster is running, 10 not with this server
"""
_COLUMNS = (
    Column("DIGEST", "digest"),
    Column("STORE", "store"),
    Column("HOLDS", "size_bytes", human_bytes),
    Column("REMOVED", "removed"),
)


def command(
    ctx: typer.Context,
    digest: Annotated[list[str], typer.Argument(help="HASH/SIZE, first digits, @last, any text, or -.")],
    everywhere: Annotated[bool, typer.Option("--everywhere", help="From the tiers of workers, too.")] = False,
    store: Annotated[str, typer.Option(help="From this layer alone: PART:STORE/LAYER.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show where they are.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Remove blobs from the CAS. It asks first; where nobody can be asked it needs --yes.

    Results that name these blobs stay, and a server that checks completeness hides them. The Remote Execution API
    has no such call: this needs the admin service.
    """
    session: Session = ctx.obj
    wanted = digests(session, digest, Function.BLAKE3 if blake3 else Function.SHA256)
    from nlctl import removal

    parts = session.parts(instead=fix("other servers remove by evicting"))
    found = removal.places(parts, wanted, "cas", store, everywhere=everywhere)
    if not found:
        name = wanted[0].written
        look = fix("see every layer", "nlctl", "cas", "why", name)
        raise Fault(BLOB_MISSING, "no store has any of these", why="each layer was asked by itself", fixes=[look])
    count = removal.count(found, "blob")
    if not dry_run:
        session.confirm(f"This removes {count}", "remove")
    gone: Sequence[bool | None] = [None] * len(found) if dry_run else removal.remove(parts, found)
    rows = [
        {"digest": as_json(one.digest), "store": one.layer.name, "size_bytes": one.size_bytes, "removed": was}
        for one, was in zip(found, gone, strict=True)
    ]
    session.ui.items("nlctl.cas.rm/v1", rows, _COLUMNS, facts={"dry_run": dry_run})
    session.ui.say(f"{'would remove' if dry_run else 'removed'} {count}")
    return Exit.OK

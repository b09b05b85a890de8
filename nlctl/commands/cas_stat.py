"""`nlctl cas stat`: which blobs are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.recents import as_json
from nlctl.resolve import digests
from nlctl.session import Session, Target
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl cas stat 7fd25e01
  nlctl cas stat @last.stdout
  bazel build //... 2>&1 | nlctl cas stat -
\b
Exit status: 0 all are there, 2 no digest in the text, 3 some are missing, 4 unreachable
"""
_COLUMNS = (Column("DIGEST", "digest"), Column("PRESENT", "present"))


def command(
    ctx: typer.Context,
    digest: Annotated[list[str], typer.Argument(help="HASH/SIZE, first digits, @last, file:PATH, any text, or -.")],
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Tell of each digest whether the CAS has its blob. The digests are taken out of any text, such as an error."""
    session: Session = ctx.obj
    function = Function.BLAKE3 if blake3 else Function.SHA256
    wanted = digests(session, digest, function)
    missing = session.wait_for(_missing(session.target(), wanted))
    rows: list[dict[str, Any]] = [{"digest": as_json(one), "present": one not in missing} for one in wanted]
    session.ui.items("nlctl.cas.stat/v1", rows, _COLUMNS)
    if missing:
        session.ui.say(f"{len(missing)} of {len(wanted)} missing")
    return Exit.NOT_FOUND if missing else Exit.OK


async def _missing(target: Target, wanted: Sequence[Digest]) -> set[Digest]:
    from nlctl.remote import client

    async with client(target) as remote:
        return set(await remote.missing(wanted))

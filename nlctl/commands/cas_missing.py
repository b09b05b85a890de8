"""`nlctl cas missing`: those of many digests that the CAS lacks."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.recents import as_json
from nlctl.resolve import digests
from nlctl.session import Session
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl cas missing @last @last.stdout
  bazel-digests | nlctl cas missing -          prints only the missing ones, one on each line
  nlctl cas missing file:a.out && echo known
\b
Exit status: 0 none is missing, 2 no digest in the text, 3 some are missing, 4 unreachable
"""
_COLUMNS = (Column("DIGEST", "digest"),)


def command(
    ctx: typer.Context,
    digest: Annotated[list[str], typer.Argument(help="HASH/SIZE, first digits, @last, file:PATH, any text, or -.")],
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Print those of the digests whose blobs the CAS lacks, whole and one on each line, in the order of the question.

    The server is asked 10,000 at a time.
    """
    session: Session = ctx.obj
    wanted = digests(session, digest, Function.BLAKE3 if blake3 else Function.SHA256)
    absent = session.wait_for(_absent(session, wanted))
    rows: list[dict[str, Any]] = [{"digest": as_json(one)} for one in wanted if one in absent]
    session.ui.items("nlctl.cas.missing/v1", rows, _COLUMNS, facts={"asked": len(wanted), "missing": len(rows)})
    if not absent:
        session.ui.say("none is missing" if len(wanted) > 1 else "it is there")
    return Exit.NOT_FOUND if absent else Exit.OK


async def _absent(session: Session, wanted: list[Digest]) -> set[Digest]:
    from nlctl.remote import client

    async with client(session.target()) as remote:
        return await remote.missing(wanted)

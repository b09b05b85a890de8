"""`nlctl cas get`: a blob, verified."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.recents import as_json
from nlctl.resolve import single
from nlctl.session import Session, Target
from nlctl.ui import Ui, human_bytes

EPILOG = """\b
Examples:
  nlctl cas get 7fd25e01 -O a.o
  nlctl cas get @last.stdout
\b
Exit status: 0 written, 3 missing, 4 unreachable, 9 the bytes do not match the digest
"""


def command(
    ctx: typer.Context,
    digest: Annotated[str, typer.Argument(help="HASH/SIZE, first digits, @last, any text, or -.")],
    out: Annotated[Path | None, typer.Option("--out", "-O", help="Write here instead of standard output.")] = None,
    blake3: Annotated[bool, typer.Option("--blake3", help="The hash is BLAKE3 where the text does not say.")] = False,
) -> int:
    """Fetch a blob. A file appears under its name only when all of it was read and matches the digest."""
    session: Session = ctx.obj
    wanted = single(session, digest, Function.BLAKE3 if blake3 else Function.SHA256)
    if out is None and session.ui.structured:
        raise Fault(USAGE, "a blob is no JSON: -o json needs a file", fixes=[fix("add -O FILE")])
    target = session.target()
    if out is None:
        session.wait_for(_to_output(target, wanted, session.ui))
        return Exit.OK
    session.wait_for(_to_file(target, wanted, out))
    session.ui.say(f"wrote {out} ({human_bytes(wanted.size_bytes)}, digest verified)")
    item = {"digest": as_json(wanted), "path": str(out)}
    session.ui.item("nlctl.cas.get/v1", item, "", name=str(out))
    return Exit.OK


async def _to_output(target: Target, wanted: Digest, ui: Ui) -> None:
    from nlctl.remote import client

    async with client(target, wanted.function) as remote, aclosing(remote.stream(wanted)) as chunks:
        first = True
        async for chunk in chunks:
            if first and ui.out_is_terminal and b"\0" in bytes(chunk[:8192]):
                raise Fault(USAGE, "this blob is binary, and here is a terminal", fixes=[fix("add -O FILE")])
            ui.raw(bytes(chunk))
            first = False


async def _to_file(target: Target, wanted: Digest, out: Path) -> None:
    from nlctl.remote import client

    async with client(target, wanted.function) as remote:
        await remote.download(wanted, out)

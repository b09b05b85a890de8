"""`nlctl ac get`: the result of an action."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.faults import fix
from nlctl.files import keep
from nlctl.recents import as_json
from nlctl.resolve import single
from nlctl.session import Session
from nlctl.ui import Ui, human_ago

if TYPE_CHECKING:
    from nlctl.results import Held

EPILOG = """\b
Examples:
  nlctl ac get @last
  nlctl ac get 44f1c2aa -o json | jq .item.result.exit_code
  nlctl ac get @last -O result.bin        as it is stored
\b
Exit status: 0 there is one, 2 no digest in the text, 3 there is none, 4 unreachable
"""


def command(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(help="The Action: HASH/SIZE, first digits, @last, any text, or -.")],
    out: Annotated[Path | None, typer.Option("--out", "-O", help="Write the serialised result here.")] = None,
    tier: Annotated[str, typer.Option("--from", help="Ask this layer alone: PART:STORE/LAYER.")] = "",
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Show what the action cache holds for an action: how it ended, how long each step took, and what it left.

    A result that a server hides because outputs are missing is shown with `--from`; `nlctl ac check` finds it itself.
    """
    session: Session = ctx.obj
    wanted = single(session, action, Function.BLAKE3 if blake3 else Function.SHA256)
    held = _layer(session, wanted, tier) if tier else session.wait_for(_cached(session, wanted))
    if out is not None:
        keep(out, [held.result.SerializeToString()])
        session.ui.say(f"wrote {out}")
    from nlctl import decoded

    document = decoded.result(held.result, wanted.function)
    item = {"action": as_json(wanted), "layer": held.layer, "path": str(out) if out else None, "result": document}
    text = "" if out else _text(session.ui, document)
    session.ui.item("nlctl.ac.get/v1", item, text, name=wanted.written)
    return Exit.OK


async def _cached(session: Session, wanted: Digest) -> Held:
    from nlctl.remote import client
    from nlctl.results import Held, none_of

    target = session.target()
    async with client(target, wanted.function) as remote:
        found = await remote.action_result(wanted)
    if found is None:
        raise none_of(wanted, target)
    return Held(found)


def _layer(session: Session, wanted: Digest, tier: str) -> Held:
    from nlctl.layers import layers, named
    from nlctl.results import in_layer, none_of

    parts = session.parts(instead=fix("ask as clients do: leave --from out"))
    held = in_layer(parts, named(layers(parts), tier), wanted)
    if held is None:
        raise none_of(wanted, session.target())
    return held


def _text(ui: Ui, document: Mapping[str, Any]) -> str:
    from nlctl.decoded import lines

    first, *rest = (line.removeprefix("  ") for line in lines(document, ui.digest))
    stored = f" - stored {human_ago(document['completed'])} ago" if document["completed"] else ""
    return ui.fitted("\n".join([first + stored, *rest]))

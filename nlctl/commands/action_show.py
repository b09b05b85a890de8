"""`nlctl action show`: an action in full: its command, what it asks, and its result if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.actions import Known, read
from nlctl.exits import Exit
from nlctl.recents import as_json
from nlctl.resolve import single
from nlctl.session import Session
from nlctl.ui import Ui

if TYPE_CHECKING:
    from nlserver.proto import remote_execution_pb2 as re_pb

EPILOG = """\b
Examples:
  nlctl action show @last
  nlctl action show 44f1c2aa -o json | jq .item.command.arguments
\b
Exit status: 0 shown, 2 no digest in the text, 3 the CAS lacks it, 4 unreachable, 13 it is no action
"""


def command(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(help="The Action: HASH/SIZE, first digits, @last, any text, or -.")],
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Show an action and its command, taken apart, and the result that the action cache holds for it."""
    session: Session = ctx.obj
    wanted = single(session, action, Function.BLAKE3 if blake3 else Function.SHA256)
    known, result = session.wait_for(_seen(session, wanted))
    item = _document(known, result)
    session.ui.item("nlctl.action.show/v1", item, _text(session.ui, item), name=wanted.written)
    return Exit.OK


async def _seen(session: Session, wanted: Digest) -> tuple[Known, re_pb.ActionResult | None]:
    from nlctl.remote import client

    async with client(session.target(), wanted.function) as remote:
        return await read(remote, wanted), await remote.action_result(wanted)


def _document(known: Known, result: re_pb.ActionResult | None) -> dict[str, Any]:
    from nlctl import decoded

    action, asked = known.documents()
    return {
        "digest": as_json(known.digest),
        "action": action,
        "command": asked,
        "result": None if result is None else decoded.result(result, known.digest.function),
    }


def _text(ui: Ui, item: dict[str, Any]) -> str:
    from nlctl.decoded import lines

    found = [f"Action   {ui.digest(item['digest'])}", *lines(item["action"], ui.digest)]
    found += ["Command", *lines(item["command"], ui.digest)]
    if item["result"] is None:
        return ui.fitted("\n".join([*found, "Result", "  none in the action cache"]))
    return ui.fitted("\n".join([*found, "Result", *lines(item["result"], ui.digest)]))

"""`nlctl ac diff`: where two results differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function

from nlctl.exits import Exit
from nlctl.recents import as_json
from nlctl.resolve import single
from nlctl.session import Session
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl ac diff @last @2
  nlctl ac diff 44f1c2aa 9d03be11 --times
\b
Exit status: 0 equal, 2 no digest in the text, 3 one has no result, 4 unreachable, 12 they differ
"""
_COLUMNS = (Column("FIELD", "field"), Column("BEFORE", "before"), Column("AFTER", "after"))
_TIMES = ("worker", "queued_ms", "inputs_ms", "ran_ms", "outputs_ms", "completed")


def command(
    ctx: typer.Context,
    before: Annotated[str, typer.Argument(metavar="D1", help="An Action: HASH/SIZE, first digits, @last, any text.")],
    after: Annotated[str, typer.Argument(metavar="D2", help="The other Action.")],
    times: Annotated[bool, typer.Option("--times", help="Compare workers and times, too.")] = False,
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
) -> int:
    """Compare the results of two actions field by field: exit code, outputs by their paths, what they wrote."""
    from nlctl.differences import differences

    session: Session = ctx.obj
    function = Function.BLAKE3 if blake3 else Function.SHA256
    left, right = single(session, before, function), single(session, after, function)
    one, other = session.wait_for(_both(session, left, right))
    rows = [
        {"field": found.field, "before": found.before, "after": found.after}
        for found in differences(one, other)
        if times or found.field not in _TIMES
    ]
    facts = {"before": as_json(left), "after": as_json(right)}
    session.ui.items("nlctl.ac.diff/v1", rows, _COLUMNS, facts=facts)
    session.ui.say(f"{len(rows)} fields differ" if rows else "the results are equal")
    return Exit.DIFFERS if rows else Exit.OK


async def _both(session: Session, left: Digest, right: Digest) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    from nlctl import decoded, results
    from nlctl.remote import client

    target = session.target()
    async with client(target, left.function) as remote:
        first = await results.of_action(session, target, remote, left)
        second = await results.of_action(session, target, remote, right)
    return decoded.result(first.result, left.function), decoded.result(second.result, right.function)

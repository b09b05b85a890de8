"""Which operations an operator means, and how one is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from nlserver.reapi.digest import Digest, Function

from nlctl import admin
from nlctl.faults import AMBIGUOUS, NO_OPERATION, Fault, fix
from nlctl.recents import as_json
from nlctl.session import Session
from nlctl.ui import stamp
from nlctl.worker_ids import worker_name

MOST: Final = 5000
"""The most operations that a server lists at once."""
_PREFIX: Final = re.compile(r"[0-9a-f-]{4,35}")
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHOWN: Final = 5


def identified(session: Session, endpoint: str, text: str) -> str:
    """The id of the operation that this text names, or a client's name for it, which only the server knows.

    It may be an id, its first digits, a client's `operations/...`, or an action's digest as every command takes it,
    which stands for its latest operation. Raises Fault NO_OPERATION, AMBIGUOUS, or what the digest's text raises.
    """
    last = text.rpartition("/")[2] if "operations/" in text else text
    if _ID.fullmatch(last):
        return last
    known, _ = admin.operations(endpoint, (), MOST)
    if any(one.id == last for one in known):
        return last
    matching = [one.id for one in known if one.id.startswith(last)] if _PREFIX.fullmatch(last) else []
    if len(matching) > 1:
        raise Fault(
            AMBIGUOUS,
            f"{last} is the beginning of {len(matching)} operations",
            why=", ".join(matching[:_SHOWN]),
            fixes=[fix("give more of it"), _KNOWN],
        )
    return matching[0] if matching else _of_action(session, known, text)


def _of_action(session: Session, known: Sequence[admin.OperationFacts], text: str) -> str:
    action = action_meant(session, text)
    matching = [] if action is None else [one for one in known if one.action == action]
    if not matching:
        raise unknown(text)
    return matching[-1].id


def action_meant(session: Session, text: str) -> Digest | None:
    """The action that this text names, None where it can be no digest. Raises Fault where it is one, but not clear."""
    from nlctl.digests import parse
    from nlctl.resolve import single

    if not text.startswith(("@", "file:")) and text != "-":
        try:
            parse(text)
        except Fault:
            return None
    return single(session, text, Function.SHA256)


def unknown(text: str) -> Fault:
    """Nobody knows this operation."""
    return Fault(
        NO_OPERATION,
        f"nobody knows operation {text}",
        why="finished operations are forgotten after a minute, and those that the cache answered have none",
        fixes=[_KNOWN],
    )


_KNOWN: Final = fix("see those that are known", "nlctl", "ops", "ls")


def row(operation: admin.OperationFacts) -> dict[str, Any]:
    """An operation as documents show it."""
    return {
        "id": operation.id,
        "state": operation.stage,
        "since": stamp(operation.since),
        "queued": stamp(operation.queued),
        "worker": worker_name(operation.worker) or None,
        "worker_id": operation.worker or None,
        "action": as_json(operation.action),
        "target": operation.target or None,
        "mnemonic": operation.mnemonic or None,
        "invocation": operation.invocation or None,
        "instance": operation.instance,
        "priority": operation.priority,
        "attempts": operation.attempts,
        "waiters": operation.waiters,
        "properties": operation.properties,
        "unsatisfiable": operation.unsatisfiable,
        "explanation": operation.explanation or None,
    }


def ending(operation: admin.OperationFacts) -> dict[str, Any] | None:
    """How it ended, as documents show it; None while it has not."""
    if operation.ending is None:
        return None
    failure = operation.ending.failure
    took = max(0.0, operation.since - operation.queued)
    return {
        "exit_code": None if failure else operation.ending.exit_code,
        "failure": failure or None,
        "took_ms": round(took * 1000),
    }


def sentence(operation: admin.OperationFacts) -> str:
    """Where it stands, in a few words: `executing (worker-1)`, `completed exit 0 in 3.4s`, `queued: no worker ...`."""
    if operation.ending is not None:
        end = operation.ending.failure or f"exit {operation.ending.exit_code}"
        return f"completed {end} in {max(0.0, operation.since - operation.queued):.1f}s"
    if operation.worker:
        return f"{operation.stage} ({worker_name(operation.worker)})"
    return f"{operation.stage}: {operation.explanation}" if operation.explanation else operation.stage


def verdicts(found: admin.Explanation) -> list[Mapping[str, Any]]:
    """The verdict on each worker, as documents show it."""
    return [{**asdict(one), "reason": one.reason or None} for one in found.workers]

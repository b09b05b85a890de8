"""Gathering what is known of an action: from the scheduler, from the action cache, and from the CAS."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from nlserver.errors import Error
from nlserver.reapi.digest import Digest, digest_of

from nlctl import admin, decoded
from nlctl.actions import read
from nlctl.doctor.deed import STAGES, Ended, Facts
from nlctl.faults import NO_OPERATION, NO_RESULT, Fault
from nlctl.operations import action_meant, identified
from nlctl.remote import client
from nlctl.session import Session, Target
from nlctl.worker_ids import worker_name

if TYPE_CHECKING:
    from nlserver.proto import remote_execution_pb2 as re_pb
    from nlserver.reapi.client import Client

_MOST_SAMPLES: Final = 20
_MOST_STDERR: Final = 64 << 10


def named(session: Session, target: Target, text: str) -> tuple[Digest, admin.OperationFacts | None]:
    """The action that this text names, and the latest operation for it that the scheduler remembers.

    Raises Fault for a text that names none, or several.
    """
    if target.admin is None:
        action = action_meant(session, text)
        if action is None:
            raise _no_digest(text)
        return action, None
    try:
        operation = identified(session, target.admin, text)
    except Fault as fault:
        action = action_meant(session, text) if fault.kind is NO_OPERATION else None
        if action is None:
            raise
        return action, None
    found = next(iter(admin.watch_operations(target.admin, [operation])))
    return found.action, found


def _no_digest(text: str) -> Fault:
    from nlctl.faults import BAD_DIGEST, fix

    why = "a server without the admin service knows operations only by their actions"
    return Fault(BAD_DIGEST, f"{text!r} names no action", why=why, fixes=[fix("give HASH/SIZE, or @last")])


async def search(session: Session, target: Target, action: Digest, operation: admin.OperationFacts | None) -> Facts:
    """Everything that can be known; what a server does not tell is left out. Raises Fault, Error."""
    facts = Facts(action, operation, explanation=_explained(target, operation), now=time.time())
    async with client(target, action.function) as remote:
        facts = await _with_inputs(facts, remote, target)
        result, cached = await _result(session, target, remote, facts)
        if result is not None:
            facts = replace(facts, ended=await _ended(session, remote, action, result, cached=cached))
            times = await _typical(session, target, remote, action)
            facts = replace(facts, typical=_medians(times), samples=len(times))
    return facts


def _explained(target: Target, operation: admin.OperationFacts | None) -> admin.Explanation | None:
    if target.admin is None or operation is None or operation.stage != "queued":
        return None
    with suppress(Error):
        return admin.explain(target.admin, operation.id)
    return None


async def _with_inputs(facts: Facts, remote: Client, target: Target) -> Facts:
    from nlctl import objects

    # Missing is an Error; an action that is no action is a Fault.
    if gone := await remote.missing([facts.action]):
        return replace(facts, missing=sorted(gone))
    try:
        known = await read(remote, facts.action)
        tree = await objects.tree(remote, known.inputs)
    except Error as error:
        named = [one for subject in error.missing for one in _digests(subject)]
        return replace(facts, missing=named or (facts.action,))
    wanted = [digest_of(known.action.command_digest, facts.action.function), *tree.files()]
    missing = sorted([*tree.absent, *await remote.missing(wanted)])
    seconds = known.action.timeout.seconds + known.action.timeout.nanos / 1e9
    explanation = facts.explanation
    if facts.operation is None and target.admin is not None:
        with suppress(Error):
            explanation = admin.explain_properties(target.admin, known.platform)
    return replace(facts, missing=missing, timeout_seconds=seconds, explanation=explanation)


def _digests(subject: str) -> Sequence[Digest]:
    from nlserver.reapi.digest import Function

    from nlctl.digests import find

    return [
        Digest(one.hash, one.size_bytes, one.function or Function.SHA256) for one in find(subject) if one.size_bytes
    ]


async def _result(
    session: Session, target: Target, remote: Client, facts: Facts
) -> tuple[re_pb.ActionResult | None, bool]:
    """How it ended, by its operation or by the action cache, and whether the cache has it."""
    from nlctl.results import of_action

    operation = facts.operation
    if operation is not None and not operation.completed:
        return None, False
    # The cache keeps no results of commands that failed; a server that lists its operations remembers them for a while.
    with suppress(Error):
        latest = await remote.execution.latest(facts.action)
        if latest is not None and latest.response is not None:
            return latest.response.result, latest.response.cached_result
    try:
        return (await of_action(session, target, remote, facts.action)).result, True
    except Fault as fault:
        if fault.kind is not NO_RESULT:
            raise
        return None, False


async def _ended(
    session: Session, remote: Client, action: Digest, result: re_pb.ActionResult, *, cached: bool
) -> Ended:
    document = decoded.result(result, action.function)
    stderr = bytes(result.stderr_raw)
    if not stderr and result.HasField("stderr_digest"):
        stderr = await _tail(remote, digest_of(result.stderr_digest, action.function))
    stages = {key: document[key] for key in STAGES}
    worker = worker_name(document["worker"] or "")
    return Ended(result.exit_code, worker, stages, stderr.decode(errors="replace"), cached)


async def _tail(remote: Client, digest: Digest) -> bytes:
    with suppress(Error):
        begin = max(0, digest.size_bytes - _MOST_STDERR)
        async with aclosing(remote.stream(digest, begin)) as chunks:
            return b"".join([chunk async for chunk in chunks])
    return b""


async def _typical(session: Session, target: Target, remote: Client, action: Digest) -> list[Mapping[str, Any]]:
    """The times of some other results, where results can be listed."""
    from nlctl import layers

    if target.cluster is None:
        return []
    try:
        _, found = layers.listed(session.sockets(target.cluster), "ac", "", "", _MOST_SAMPLES)
    except (Error, Fault):
        return []
    others = [digest for one in found if (digest := one.digest(action.function)) not in (None, action)]
    results = [await remote.action_result(digest) for digest in others if digest is not None]
    return [decoded.result(one, action.function) for one in results if one is not None]


def _medians(times: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    made: dict[str, float | None] = {}
    for key in STAGES:
        known = [float(one[key]) for one in times if one[key] is not None]
        made[key] = statistics.median(known) if known else None
    return made

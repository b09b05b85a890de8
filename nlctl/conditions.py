"""What `nlctl wait --for` waits for: each condition says what is still missing.

ready   idle   workers=N   op=ID   object=DIGEST   PART=STATE
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from nlserver.errors import Code, Error

from nlctl import admin
from nlctl.faults import NO_OPERATION, UNKNOWN_PART, USAGE, Fault, fix
from nlctl.launch.backend import Report
from nlctl.launch.containers import awaited
from nlctl.session import Session, admin_of

if TYPE_CHECKING:
    from nlserver.reapi.digest import Digest

PART_STATES: Final = ("waiting", "starting", "ready", "stopping", "backoff", "failed", "gone")
_MOST: Final = 5000
_FORMS: Final = "ready, idle, workers=N, op=ID, object=DIGEST or PART=STATE"


@dataclass(frozen=True)
class Condition:
    """One thing that shall hold. `lacking` asks, and answers what is missing, "" when nothing is."""

    text: str
    lacking: Callable[[], str]


def condition(session: Session, cluster: str, text: str) -> Condition:
    """What this word stands for. Raises Fault USAGE for one that stands for nothing, or what asking would raise."""
    name, equals, value = text.partition("=")
    match name, equals:
        case "ready", "":
            return Condition(text, lambda: _ready(session, cluster))
        case "idle", "":
            return Condition(text, _patient(lambda: _idle(admin_of(session.target(cluster)))))
        case "workers", "=" if value.isascii() and value.isdigit():
            return Condition(text, _patient(lambda: _workers(admin_of(session.target(cluster)), int(value))))
        case "op", "=" if value:
            return Condition(text, _patient(lambda: _operation(admin_of(session.target(cluster)), value)))
        case "object", "=" if value:
            from nlserver.reapi.digest import Function

            from nlctl.resolve import single

            digest = single(session, value, Function.SHA256)
            return Condition(text, _patient(lambda: _object(session, digest)))
        case _, "=" if name and value in PART_STATES:
            return Condition(text, lambda: _part(session, cluster, name, value))
    raise Fault(USAGE, f"{text!r} is nothing to wait for", fixes=[fix(f"write {_FORMS}")])


def _patient(lacking: Callable[[], str]) -> Callable[[], str]:
    """A server that is away is one that may come."""

    def asked() -> str:
        try:
            return lacking()
        except Error as error:
            if error.code not in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED):
                raise
            return f"it does not answer: {error}"

    return asked


def _ready(session: Session, cluster: str) -> str:
    target = session.target(cluster)
    if target.cluster is not None:
        ledger, backend = session.running(cluster)
        record = ledger.load()
        assert record is not None
        reports = backend.reports() or ()
        if unready := [f"{one.name} is {one.state}" for one in reports if one.state != "ready"]:
            return ", ".join(unready[:5])
        return _patient(
            lambda: _registered(admin_of(target), partial(awaited, record.containers, record.workers, reports))
        )()
    return _patient(lambda: _registered(admin_of(target), lambda _: ()))()


def _registered(endpoint: str, names: Callable[[Collection[str]], Sequence[str]]) -> str:
    """`names` tells, of those that are registered, which ought to be."""
    seen = admin.overview(endpoint)
    if ill := [f"{one.name}: {one.message}" for one in seen.health if not one.ok]:
        return ill[0]
    there = {one.name for one in seen.workers}
    missing = [name for name in names(there) if name not in there]
    return f"not registered: {', '.join(missing[:5])}" if missing else ""


def _idle(endpoint: str) -> str:
    found, total = admin.operations(endpoint, ("queued", "executing"), 1)
    return f"{total} operations wait or run, the oldest is {found[0].id}" if total else ""


def _workers(endpoint: str, count: int) -> str:
    working = [one for one in admin.workers(endpoint) if one.state in ("ready", "busy")]
    return "" if len(working) == count else f"{len(working)} workers take work"


def _operation(endpoint: str, wanted: str) -> str:
    id_ = wanted.rpartition("/")[2]
    for one in admin.operations(endpoint, ("queued", "executing", "completed"), _MOST)[0]:
        if one.id == id_:
            return "" if one.stage == "completed" else f"it is {one.stage}"
    raise Fault(
        NO_OPERATION,
        f"no operation {id_!r} is known",
        why="it ended long ago, or the scheduler started anew since",
        fixes=[fix("see those that are", "nlctl", "ops", "ls")],
    )


def _object(session: Session, digest: Digest) -> str:
    missing = session.wait_for(_missing(session, digest))
    return "the CAS does not have it" if missing else ""


async def _missing(session: Session, digest: Digest) -> bool:
    from nlctl.remote import client

    async with client(session.target()) as remote:
        return bool(await remote.missing([digest]))


def _part(session: Session, cluster: str, name: str, state: str) -> str:
    _, backend = session.running(cluster)
    reports: Sequence[Report] = backend.reports() or ()
    now = next((one.state for one in reports if one.name == name), "gone")
    if now == "gone" != state:
        there = ", ".join(one.name for one in reports)
        see = fix("see them", "nlctl", "ps")
        raise Fault(UNKNOWN_PART, f"there is no part {name!r}", why=f"there are: {there}", fixes=[see])
    return "" if now == state else f"it is {now}"

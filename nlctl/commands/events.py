"""`nlctl events`: what happened in the parts lately, and what happens."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from nlserver.errors import Error

from nlctl.admin import Admin
from nlctl.contexts import Address
from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.session import Session, admin_of
from nlctl.ui import stamp

EPILOG = """\b
Examples:
  nlctl events
  nlctl events -f --level warn
  nlctl events --kind registered --kind evicting
  nlctl events -o jsonl | jq -r .event | sort | uniq -c
\b
Exit status: 0 shown, 2 no such level, 4 no cluster is running
"""
_LEVELS: Final = ("debug", "info", "warn", "error")
_WAITING: Final = 1000


def command(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as things happen.")] = False,
    level: Annotated[str, typer.Option(help="The least that is shown: debug, info, warn or error.")] = "info",
    kind: Annotated[list[str] | None, typer.Option(help="Only events whose sentence has this; repeatable.")] = None,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show what the parts remember of what happened, in the order of time: a sentence for each kind, and facts.

    Unlike `nlctl logs` it asks the running processes, and what it says is meant for machines, too.
    """
    session: Session = ctx.obj
    if level not in _LEVELS:
        raise Fault(USAGE, f"{level!r} is no level", fixes=[fix(f"choose one of {', '.join(_LEVELS)}")])
    sockets = _sources(session, name)
    # The history is shown in order of time before anything new; a follower begins where it ended.
    past = sorted(_past(sockets, level), key=lambda one: (one["when"], one["part"], one["number"]))
    for event in past:
        _show(session, event, kind or ())
    session.ui.flush()
    if follow:
        last = {part: max((e["number"] for e in past if e["part"] == part), default=0) for part in sockets}
        for event in _coming(sockets, level, last):
            _show(session, event, kind or ())
            session.ui.flush()
    return Exit.OK


def _sources(session: Session, name: str) -> Mapping[str, str]:
    """Where events are to be had: every part of a cluster here, or the one server that a context names."""
    target = session.target(name)
    admin = admin_of(target)
    if target.cluster is None:
        return {target.context or "server": admin}
    return {part: str(socket) for part, socket in session.sockets(name).items()}


def _past(sockets: Mapping[str, str], level: str) -> Iterator[dict[str, Any]]:
    from nlserver.proto import admin_pb2

    for part, socket in sockets.items():
        try:
            with Admin(socket) as admin:
                yield from (
                    _event(part, e) for e in admin.stream("WatchEvents", admin_pb2.WatchEventsRequest(level=level))
                )
        except Error:
            if isinstance(socket, Address):
                raise
            # A part that is just ending has nothing more to say.
            continue


def _coming(sockets: Mapping[str, str], level: str, last: dict[str, int]) -> Iterator[dict[str, Any]]:
    from nlserver.proto import admin_pb2

    came: queue.Queue[dict[str, Any] | None] = queue.Queue(_WAITING)

    def watch(part: str, socket: str) -> None:
        request = admin_pb2.WatchEventsRequest(level=level, after=last[part], follow=True)
        try:
            with Admin(socket) as admin:
                for event in admin.stream("WatchEvents", request, endless=True):
                    came.put(_event(part, event))
        except Error:
            pass
        came.put(None)

    for part, socket in sockets.items():
        threading.Thread(target=watch, args=(part, socket), daemon=True).start()
    silent = 0
    while silent < len(sockets):
        event = came.get()
        if event is None:
            silent += 1
        else:
            yield event


def _event(part: str, event: Any) -> dict[str, Any]:
    return {
        "part": part,
        "when": stamp(event.when.seconds + event.when.nanos / 1e9),
        "level": event.level,
        "event": event.event,
        "facts": dict(event.facts),
        "number": event.number,
        "lost": event.lost,
    }


def _show(session: Session, event: dict[str, Any], kinds: Sequence[str]) -> None:
    if kinds and not any(kind.lower() in event["event"].lower() for kind in kinds):
        return
    if session.ui.structured:
        session.ui.event("nlctl.event/v1", event)
        return
    facts = " ".join(f"{name}={value}" for name, value in event["facts"].items())
    session.ui.text_fields(event["when"] or "", event["part"], event["level"], event["event"], facts)

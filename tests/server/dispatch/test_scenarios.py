"""Runs the scenario files: an event, `----`, the effects that it must have; every invariant is checked after each.

    @12 submit o1 a os=linux priority=3      at second 12, operation o1 for waiter a
    ----
    publish o1 QUEUED: worker-1 offers os=windows, asked linux

`limits NAME=NUMBER ...` and `kinds NAME=exact ...` stand before the first event. `show`, `workers`, `explain` and
`deadline` ask instead of telling. Run with REWRITE=1 to write down what happens; commit only what you understand.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_never

import pytest
from nlserver.dispatch.effects import Disconnect, Effect, Forget, Kill, Publish, Refuse, Start, Warn
from nlserver.dispatch.events import (
    Abandoned,
    Attended,
    Cancelled,
    Event,
    Executed,
    Failed,
    Finished,
    Submitted,
    Ticked,
    WorkerDrained,
    WorkerJoined,
    WorkerLeft,
    WorkerSpoke,
    WorkerUndrained,
)
from nlserver.dispatch.model import ActionRequest, Failure, Limits, Response, WorkerOffer
from nlserver.dispatch.properties import PropertyKind, needs_of, offer_of
from nlserver.dispatch.state import State
from nlserver.errors import Code, Error
from nlserver.reapi.digest import of

SCENARIOS = sorted(Path(__file__).with_name("scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    told = path.read_text()
    happened = run(told)
    if os.environ.get("REWRITE"):
        path.write_text(happened)
    assert happened == told


def run(text: str) -> str:
    """The same text with what really happens below each event."""
    limits: dict[str, Any] = {}
    kinds: dict[str, PropertyKind] = {}
    play: Play | None = None
    parts: list[str] = []
    for block in text.strip().split("\n\n"):
        lines = block.split("\n")
        notes = [line for line in lines if line.startswith("#")]
        event = next((line for line in lines if not line.startswith("#")), "")
        match event.split():
            case []:
                parts.append(block)
            case ["limits", *words]:
                limits = {name: _limit(value) for name, value in pairs(words)}
                parts.append(block)
            case ["kinds", *words]:
                kinds = {name: PropertyKind(value) for name, value in pairs(words)}
                parts.append(block)
            case _:
                play = play or Play(State(Limits(**limits)), kinds)
                parts.append("\n".join([*notes, event, "----", *play.line(event)]))
    return "\n\n".join(parts) + "\n"


def _limit(value: str) -> Any:
    return value == "yes" if value in {"yes", "no"} else int(value) if value.isdigit() else float(value)


def pairs(words: list[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (word.partition("=") for word in words)]


class Play:
    """One machine and its time."""

    def __init__(self, state: State, kinds: dict[str, PropertyKind]) -> None:
        self.state = state
        self.kinds = kinds
        self.now = 0.0

    def line(self, line: str) -> list[str]:
        if line.startswith("@"):
            moment, line = line[1:].split(" ", 1)
            self.now = float(moment)
        verb, *words = shlex.split(line)
        asked = self.ask(verb, words)
        if asked is not None:
            return asked
        try:
            effects = self.state.handle(self.event(verb, words), self.now)
        except Error as error:
            return [f"error {error.code.name}: {error}"]
        self.state.check()
        return [tell(effect) for effect in effects] or ["nothing"]

    def ask(self, verb: str, words: list[str]) -> list[str] | None:
        try:
            match verb, words:
                case "deadline", []:
                    moment = self.state.deadline()
                    return ["never" if moment is None else f"{moment:g}"]
                case "show", names:
                    return [self.show(name) for name in names]
                case "workers", []:
                    return list(self.workers())
                case "explain", [name]:
                    why = self.state.explain(name)
                    each = [f"  {w.worker_name}: {w.verdict}: {w.reason}".rstrip(": ") for w in why.workers]
                    return [f"{why.verdict}: {why.summary}", *each]
        except Error as error:
            return [f"error {error.code.name}: {error}"]
        return None

    def show(self, name: str) -> str:
        view = self.state.view(name)
        facts = [f"priority={view.priority}", f"attempts={view.attempts}", f"waiters={view.waiters}"]
        facts += [f"worker={view.worker_id}"] if view.worker_id else []
        facts += ["unsatisfiable"] if view.unsatisfiable else []
        match view.outcome:
            case Response(data):
                end = f": {data.decode()}"
            case Failure(code, message, missing):
                end = f": {code.name}: {message}" + (f" missing {' '.join(missing)}" if missing else "")
            case None:
                end = f": {view.explanation}" if view.explanation else ""
        return f"{view.name} is {view.operation} {view.stage.name} {' '.join(facts)}{end}"

    def workers(self) -> Iterator[str]:
        for worker in self.state.worker_views():
            left = " ".join(f"{name}={value}" for name, value in worker.remaining)
            yield (
                f"{worker.id} {worker.readiness} runs [{' '.join(worker.operations)}] left [{left}] "
                f"completed={worker.completed} seen={worker.last_seen:g}"
            )

    def event(self, verb: str, words: list[str]) -> Event:
        match verb, words:
            case "submit", [operation, waiter, *rest]:
                return self.submitted(operation, waiter, rest)
            case "attend", [waiter]:
                return Attended(waiter)
            case "abandon", [waiter]:
                return Abandoned(waiter)
            case "cancel", [name]:
                return Cancelled(name)
            case "join", [worker, *rest]:
                return self.joined(worker, rest)
            case "speak", [worker]:
                return WorkerSpoke(worker)
            case "leave", [worker, reason]:
                return WorkerLeft(worker, reason)
            case "drain", [worker]:
                return WorkerDrained(worker)
            case "undrain", [worker]:
                return WorkerUndrained(worker)
            case "executed", [worker, run_id]:
                return Executed(worker, run_id)
            case "finished", [worker, run_id]:
                return Finished(worker, run_id, Response(f"response of {run_id}".encode()))
            case "failed", [worker, run_id, code, message, *missing]:
                return Failed(worker, run_id, Failure(Code[code], message, tuple(missing)))
            case "tick", []:
                return Ticked()
        raise ValueError(f"no such event: {verb} {words}")

    def submitted(self, operation: str, waiter: str, words: list[str]) -> Submitted:
        facts = dict(pairs(words))
        request = ActionRequest(
            instance=facts.pop("instance", ""),
            action=of(facts.pop("action", operation).encode()),
            priority=int(facts.pop("priority", "0")),
            skip_cache_lookup=facts.pop("skip_cache_lookup", "no") == "yes",
            do_not_cache=facts.pop("do_not_cache", "no") == "yes",
            properties=tuple(facts.items()),
        )
        return Submitted(operation, waiter, request, needs_of(request.properties, self.kinds))

    def joined(self, worker: str, words: list[str]) -> WorkerJoined:
        facts = pairs(words)
        special = dict(facts)
        properties = tuple((name, value) for name, value in facts if name not in {"max", "kills"})
        offer = WorkerOffer(worker, properties, int(special["max"]) if "max" in special else None)
        return WorkerJoined(worker, offer, offer_of(properties, self.kinds), special.get("kills") != "no")


def tell(effect: Effect) -> str:
    match effect:
        case Start(worker, run_id, operation):
            return f"start {operation} on {worker}" + (f" as {run_id}" if run_id != operation else "")
        case Kill(worker, run_id):
            return f"kill {run_id} on {worker}"
        case Disconnect(worker, reason, running):
            return f"disconnect {worker} running {running}: {reason}"
        case Publish(operation, stage, note, waiter):
            return f"publish {operation} {stage.name}{f' to {waiter}' if waiter else ''}{f': {note}' if note else ''}"
        case Refuse(waiter, failure):
            return f"refuse {waiter} {failure.code.name}: {failure.message}"
        case Warn(event, operation, worker, reason):
            about = " ".join(each for each in (operation, worker) if each)
            return f"warn {about} {event}{f': {reason}' if reason else ''}"
        case Forget(waiter):
            return f"forget {waiter}"
        case _:
            assert_never(effect)
